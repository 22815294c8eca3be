/** The jobs of the worker: what a request asks for, in terms of the engine and of run folders. */
import { existsSync } from 'node:fs';
import { constants, copyFile } from 'node:fs/promises';
import {
  bitsLabel,
  experimentDifferences,
  experimentSlug,
  hasLearnedRotation,
  portableExperiment,
  type ResolvedExperiment,
} from '../config/index.ts';
import { evaluateExperiment, inspectActivations, optimizeRotation } from '../engine/experiment.ts';
import { loadExperiment } from '../engine/plan/check/load.ts';
import { recordRun } from '../engine/plan/record-run.ts';
import { UserError } from '../protocol/errors.ts';
import { type RunEvent, timed } from '../protocol/events.ts';
import type { JobResult, MeasureParams, OptimizeParams } from '../protocol/worker.ts';
import { type ActivationsFile, createRun, listRuns, openRun, type Run } from '../runs/index.ts';
import { withOverrides } from './overrides.ts';

type Job = (signal: AbortSignal) => AsyncGenerator<RunEvent, JobResult>;

/** @throws ExperimentError, UserError before anything is computed. */
export async function jobOf(
  method: 'optimize' | 'evaluate' | 'inspect',
  params: OptimizeParams | MeasureParams,
): Promise<Job> {
  if ('resumeFrom' in params) return optimizeJob(params);
  return method === 'evaluate' ? evaluateJob(params) : inspectJob(params);
}

async function optimizeJob({ experiment: file, resumeFrom, overrides }: OptimizeParams): Promise<Job> {
  const experiment =
    resumeFrom === null
      ? withOverrides(await loadExperiment(file, 'optimize'), overrides)
      : await (await openRun(resumeFrom)).readExperiment();
  return async function* (signal) {
    const { run } = yield* optimizeRotation(experiment, { signal, resumeFrom: resumeFrom ?? undefined });
    return { run };
  };
}

async function evaluateJob(params: MeasureParams): Promise<Job> {
  const { experiment, source } = await measured(params, 'evaluate');
  const rotations = source?.path('rotations');
  if (source !== null && existsSync(source.path('results')) && (await isOf(source, experiment)))
    return async function* (signal) {
      yield* evaluateExperiment(experiment, { signal, rotations, runDir: source.dir });
      return { run: source.dir };
    };
  return async function* (signal) {
    const run = createRun(experiment, `${experimentSlug(experiment.source.file)}-evaluate`);
    return yield* recordRun(run, evaluateInto(run, experiment, rotations, signal));
  };
}

async function* evaluateInto(
  run: Run,
  experiment: ResolvedExperiment,
  rotations: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<RunEvent, JobResult> {
  const began = performance.now();
  const { perplexity, bits } = yield* evaluateExperiment(experiment, { signal, rotations, record: run });
  if (rotations !== undefined) await copyFile(rotations, run.path('rotations'), constants.COPYFILE_FICLONE);
  const seconds = { evaluate: (performance.now() - began) / 1000 };
  run.writeResults({ version: 1, bits, loss: null, orthogonalityError: null, steps: 0, perplexity, seconds });
  return { run: run.dir };
}

async function inspectJob(params: MeasureParams): Promise<Job> {
  const { experiment, source } = await measured(params, 'inspect');
  const rotations = source?.path('rotations');
  const own = source !== null && (await isOf(source, experiment)) ? source : null;
  return async function* (signal) {
    if (own !== null) {
      const activations = inspectActivations(experiment, { signal, rotations });
      return yield* keepActivations(own, inRun(own, activations));
    }
    const run = createRun(experiment, `${experimentSlug(experiment.source.file)}-inspect`);
    const activations = inspectActivations(experiment, { signal, rotations, record: run });
    return yield* recordRun(run, keepActivations(run, activations));
  };
}

async function* keepActivations(
  run: Run,
  job: AsyncGenerator<RunEvent, ActivationsFile>,
): AsyncGenerator<RunEvent, JobResult> {
  const began = performance.now();
  const activations = yield* job;
  run.writeActivations(activations);
  const seconds = (performance.now() - began) / 1000;
  const layers = new Set(activations.sites.map(({ layer }) => layer)).size;
  const sites = activations.sites.length;
  yield timed({ type: 'statistics', file: run.path('activations'), layers, sites, seconds });
  return { run: run.dir };
}

/** The same events, whose start names the run of before that the job adds to. */
async function* inRun<T>(run: Run, job: AsyncGenerator<RunEvent, T>): AsyncGenerator<RunEvent, T> {
  for (;;) {
    const next = await job.next();
    if (next.done) return next.value;
    yield next.value.type === 'run-started' ? { ...next.value, run: run.dir } : next.value;
  }
}

/** The experiment to measure, and the run whose learned rotations it uses; null where it needs none. */
async function measured(
  params: MeasureParams,
  purpose: 'evaluate' | 'inspect',
): Promise<{ experiment: ResolvedExperiment; source: Run | null }> {
  const written = withOverrides(await loadExperiment(params.experiment, purpose), params.overrides);
  if (params.withoutRotations) {
    const off = { r1: 'none', r2: 'none', r3: false, r4: false } as const;
    return { experiment: { ...written, rotation: { ...written.rotation, ...off } }, source: null };
  }
  if (!hasLearnedRotation(written.rotation)) return { experiment: written, source: null };
  const source = params.run === null ? await newestLearned(written) : await openRun(params.run);
  if (existsSync(source.path('rotations'))) return { experiment: written, source };
  throw new UserError(
    'runs/no-rotations',
    `The run ${source.record.id} has no rotations: it is ${source.record.status}.`,
    'Resume it, or optimize the rotation anew.',
  );
}

async function newestLearned(experiment: ResolvedExperiment): Promise<Run> {
  const { runs } = await listRuns(experiment.runs);
  const { file } = experiment.source;
  const found = runs.find((run) => run.experimentFile === file && existsSync(run.path('rotations')));
  if (found) return found;
  throw new UserError(
    'rotation/not-learned-yet',
    `rotation.r1 is "${experiment.rotation.r1}" and r2 is "${experiment.rotation.r2}", and this experiment has no learned rotation yet (${bitsLabel(experiment.quantization)}).`,
    'Optimize the rotation first.',
  );
}

/** Whether a run was made with these settings, where it runs and what it is measured on aside. */
async function isOf(run: Run, experiment: ResolvedExperiment): Promise<boolean> {
  const then = portableExperiment(await run.readExperiment());
  return experimentDifferences(then, portableExperiment(experiment)).every(({ path }) =>
    /^(evaluation|runs|device|threads|\$schema)(\.|$)/.test(path),
  );
}
