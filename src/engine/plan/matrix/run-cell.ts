import { existsSync } from 'node:fs';
import { link, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { experimentSlug, type ResolvedCell } from '../../../config/index.ts';
import { writing } from '../../../disk/faults.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import {
  createRun,
  type PerplexityResult,
  type Run,
  type TaskResult,
  writeClipRatios,
} from '../../../runs/index.ts';
import { writeRotations } from '../../rotation/rotation-file.ts';
import { RoundedLayers } from '../../rounding/rounded-layers.ts';
import { mixedBits } from '../choose/budget.ts';
import type { Clips } from '../clips/found.ts';
import { Executor } from '../execute.ts';
import { namedRotations } from '../experiment-maps.ts';
import { keepOwnKeyFacts } from '../key-means.ts';
import { worstErrors } from '../learned-maps.ts';
import { Places } from '../places.ts';
import { provenanceOf } from '../provenance.ts';
import { claimRun } from '../resume.ts';
import { keyChoiceOf, statementsOf } from '../statements.ts';
import type { Step } from '../step.ts';
import type { StepStore } from '../step-store.ts';
import type { Learned } from '../steps/maps.ts';
import { labelOf, type Workbench } from '../workbench.ts';
import type { CellPlan } from './cell-plan.ts';
import type { OpenCell } from './open-cell.ts';

export interface CellJob {
  /** With its exceptions chosen before it has a run. */
  readonly open: OpenCell;
  readonly store: StepStore;
  /** Tells the model, the texts and what computes. */
  readonly inputs: string;
  /** The step that runs before all others; absent where their order is the plan's. */
  readonly first?: Step<unknown> | undefined;
  readonly signal: AbortSignal | undefined;
}

/** The run of a cell: a stopped one that goes on, or a new one. */
export async function openCellRun(job: CellJob, stopped: Run | null, takeOver: boolean): Promise<Run> {
  const { cell, uses } = job.open;
  const run = stopped ? (await claimRun(stopped.dir, takeOver)).run : newRun(cell, job.inputs);
  for (const name of uses) run.noteUse(name);
  return run;
}

function newRun(cell: ResolvedCell, inputs: string): Run {
  const { bits, method, title, seed, seeded, key, experiment } = cell;
  const parts = [experimentSlug(experiment.source.file), bits, method, ...(seeded ? [`s${seed}`] : [])];
  // Bits in words, as "W4A4KV4 mixed", are those of an experiment that is no table.
  const slug = parts.join('-').replaceAll(' ', '-');
  return createRun(experiment, slug, { bits, method, title, seed, seeded, key, inputs });
}

/** Computes what a cell lacks, and writes its results. */
export async function* runCell(
  job: CellJob,
  run: Run,
): AsyncGenerator<RunEvent, readonly PerplexityResult[]> {
  const { store, signal } = job;
  const { bench, plan } = job.open;
  const places = new Places(run.dir, [], run.dir, run, store);
  const executor = new Executor(bench, places, {}, signal, store);
  run.setProvenance(await provenanceOf(bench));
  await keepOwnKeyFacts(bench, places);
  yield* tellStart(job.open, run);
  try {
    if (job.first) yield* executor.executeOnLeader(job.first);
    const learned = plan.learned && (yield* executor.execute(plan.learned));
    if (learned) await keepRotations(bench, run, learned);
    if (plan.preserved) yield* executor.execute(plan.preserved);
    const fullPrecision = yield* executor.execute(plan.fullPrecision);
    const quantized = plan.quantized && (yield* executor.execute(plan.quantized));
    const fullTasks = plan.fullPrecisionTasks && (yield* executor.execute(plan.fullPrecisionTasks));
    const quantizedTasks = plan.quantizedTasks && (yield* executor.execute(plan.quantizedTasks));
    const statistics = plan.statistics && (yield* executor.executeOnLeader(plan.statistics));
    if (statistics) run.writeActivations(statistics);
    await keepShared(executor, run, plan);
    const perplexity = merged(fullPrecision, quantized);
    run.writeResults({
      version: 1,
      bits: labelOf(bench),
      loss: learned?.loss ?? null,
      ...(learned ? worstErrors(learned.state) : { orthogonalityError: null }),
      steps: learned?.steps ?? 0,
      perplexity,
      ...(fullTasks && { tasks: mergedTasks(fullTasks, quantizedTasks) }),
      seconds: executor.seconds,
      ...(executor.peakBytes !== null && { peakBytes: executor.peakBytes }),
      ...mixedBits(bench),
      ...keyChoiceOf(bench),
    });
    return perplexity;
  } finally {
    await places.close();
  }
}

function* tellStart({ bench, plan }: OpenCell, run: Run): Generator<RunEvent> {
  yield timed({
    type: 'run-started',
    job: plan.learned ? 'optimize' : 'evaluate',
    run: run.dir,
    bits: labelOf(bench),
    runtime: bench.runtime.description,
    resumedFromStep: 0,
  });
  for (const detail of statementsOf(bench))
    yield timed({ type: 'phase', phase: 'prepare', state: 'finished', detail });
}

/** A run has what its network is made of, also where another run made it. */
async function keepShared(executor: Executor, run: Run, plan: CellPlan): Promise<void> {
  const weights = plan.weights && executor.of(plan.weights);
  if (weights instanceof RoundedLayers) await linkInto(run, 'rounded', weights.folder);
  if (plan.clips) await keepClips(executor, run, plan.clips, plan.calibration);
  if (plan.grids) await linkInto(run, 'grids', await sharedFolder(executor, plan.grids, 'grids'));
}

/** Perplexities of both networks, text by text. */
function merged(
  full: readonly PerplexityResult[],
  quantized: readonly PerplexityResult[] | null,
): PerplexityResult[] {
  return full.map((result, index) => {
    const other = quantized?.[index];
    if (!other) return result;
    const meanLoss = {
      fullPrecision: result.meanLoss?.fullPrecision ?? null,
      quantized: other.meanLoss?.quantized ?? null,
    };
    return { ...result, quantized: other.quantized, meanLoss };
  });
}

function mergedTasks(full: readonly TaskResult[], quantized: readonly TaskResult[] | null): TaskResult[] {
  return full.map((result, index) => ({ ...result, quantized: quantized?.[index]?.quantized ?? null }));
}

/** A run of learned rotations has them, also where another run learned them. */
async function keepRotations(bench: Workbench, run: Run, { state }: Learned): Promise<void> {
  const path = run.path('rotations');
  if (existsSync(path)) return;
  run.check();
  await writeRotations(path, namedRotations(state, bench.checkpoint.config), {
    bits: labelOf(bench),
    model: await bench.checkpoint.hash(),
    seed: String(bench.experiment.rotation.seed),
  });
}

/** A run of clip ratios that were found has them, also where another run found them. */
async function keepClips(
  executor: Executor,
  run: Run,
  clips: Clips,
  calibration: CellPlan['calibration'],
): Promise<void> {
  run.check();
  const text = calibration.digest(executor.of(calibration));
  for (let step: Clips | null = clips; step; step = step.start) {
    const file = { key: await executor.keyOf(step), text, layers: executor.of(step) };
    writeClipRatios(run.path(step.file), file);
  }
}

/** Where a step keeps what cells share. */
async function sharedFolder(
  executor: Executor,
  step: Step<unknown>,
  file: 'grids' | 'rounded',
): Promise<string> {
  return executor.places.makeShared(file, await executor.keyOf(step));
}

/** Links shared files into the run, so that later measurements find them there; the files are one. */
async function linkInto(run: Run, file: 'grids' | 'rounded', folder: string): Promise<void> {
  const own = run.path(file);
  if (folder === own) return;
  run.check();
  await writing(own, async () => {
    await mkdir(own, { recursive: true });
    for (const name of (await readdir(folder)).filter((entry) => !entry.startsWith('.'))) {
      await rm(join(own, name), { force: true });
      // A disk without links does without: what they hold is made again when it is asked for.
      await link(join(folder, name), join(own, name)).catch(() => undefined);
    }
  });
}
