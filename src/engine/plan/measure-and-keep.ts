/** Measurements whose results are kept: in the run that the rotations are of, or in a run of their own. */
import { existsSync } from 'node:fs';
import { constants, copyFile } from 'node:fs/promises';
import { decidingDifferences, experimentSlug, type ResolvedExperiment } from '../../config/index.ts';
import { writing } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { createRun, type Run } from '../../runs/index.ts';
import { attributeLoss } from './attribute.ts';
import { withExceptionsChosen, withoutExceptions } from './choose/choose-exceptions.ts';
import { evaluateExperiment } from './evaluate.ts';
import { notKept } from './evaluate-stock.ts';
import { inspectActivations } from './inspect.ts';
import type {
  AttributeOptions,
  EngineOptions,
  IntegerOptions,
  KeptAttribution,
  KeptEvaluation,
} from './options.ts';
import { PeakMemory } from './peak-memory.ts';
import { recordRun } from './record-run.ts';
import { measuredWith, type Source } from './source.ts';
import { gpuOf } from './stock-run.ts';

/** Evaluates. A run of its own keeps the settings by which its rotations were learned, and names their run. */
export async function* evaluateAndKeep(
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EngineOptions & IntegerOptions,
): AsyncGenerator<RunEvent, KeptEvaluation> {
  const asked = yield* withExceptionsChosen(measuredWith(experiment, source), options, source?.run ?? null);
  if (options.integer && gpuOf(asked.device) !== null) throw notKept();
  const own = await runOf(source, asked);
  if (own && (await hasResults(own))) {
    const rotations = source?.rotations;
    const found = yield* evaluateExperiment(asked, { ...options, rotations, runDir: own.dir });
    return { ...found, run: own.dir };
  }
  const run = createRun(asked, `${experimentSlug(asked.source.file)}-evaluate`);
  return yield* recordRun(run, evaluateInto(run, asked, source, options));
}

async function* evaluateInto(
  run: Run,
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EngineOptions & IntegerOptions,
): AsyncGenerator<RunEvent, KeptEvaluation> {
  const began = performance.now();
  using peak = new PeakMemory();
  const rotations = source?.rotations;
  const found = yield* evaluateExperiment(experiment, { ...options, rotations, record: run });
  if (rotations !== undefined) await copyRotations(rotations, run.path('rotations'));
  const { perplexity, tasks, bits, averageBits, keyOffset } = found;
  const seconds = { evaluate: (performance.now() - began) / 1000 };
  const measured = {
    loss: null,
    orthogonalityError: null,
    steps: 0,
    perplexity,
    seconds,
    peakBytes: peak.end(),
    ...(tasks.length > 0 && { tasks }),
    ...(averageBits && { averageBits }),
    ...(keyOffset && { keyOffset }),
  };
  run.writeResults({ version: 1, bits, ...measured, ...(source && { rotationsOf: source.origin }) });
  return { ...found, run: run.dir };
}

function copyRotations(from: string, to: string): Promise<void> {
  return writing(to, () => copyFile(from, to, constants.COPYFILE_FICLONE));
}

/** Looks at activations. @returns the run folder that holds the statistics. */
export async function* inspectAndKeep(
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EngineOptions,
): AsyncGenerator<RunEvent, string> {
  const rotations = source?.rotations;
  const asked = yield* withExceptionsChosen(measuredWith(experiment, source), options, source?.run ?? null);
  const own = await runOf(source, asked);
  if (own) {
    yield* inspectActivations(asked, { ...options, rotations, runDir: own.dir });
    return own.dir;
  }
  const run = createRun(asked, `${experimentSlug(asked.source.file)}-inspect`);
  yield* recordRun(run, inspectActivations(asked, { ...options, rotations, record: run }));
  return run.dir;
}

/** Attributes the loss. @param source null for the rotations that learning starts from. */
export async function* attributeAndKeep(
  experiment: ResolvedExperiment,
  source: Source | null,
  options: AttributeOptions,
): AsyncGenerator<RunEvent, KeptAttribution> {
  const rotations = source?.rotations;
  const settings = measuredWith(experiment, source);
  const asked = options.curve
    ? withoutExceptions(settings)
    : yield* withExceptionsChosen(settings, options, source?.run ?? null);
  const own = await runOf(source, asked);
  if (own) {
    const found = yield* attributeLoss(asked, { ...options, rotations, runDir: own.dir });
    return { ...found, run: own.dir };
  }
  const run = createRun(asked, `${experimentSlug(asked.source.file)}-attribute`);
  const found = yield* recordRun(run, attributeLoss(asked, { ...options, rotations, record: run }));
  return { ...found, run: run.dir };
}

/**
 * The source's run if it was made with these settings, where it runs and what it is measured on aside, and if nothing is
 * at work on it.
 */
async function runOf(source: Source | null, experiment: ResolvedExperiment): Promise<Run | null> {
  if (!source?.run || source.run.record.status === 'running') return null;
  const then = await source.run.readExperiment();
  return decidingDifferences(then, experiment, 'any').length === 0 ? source.run : null;
}

/** False also for results that cannot be read: new ones then are kept elsewhere. */
async function hasResults(run: Run): Promise<boolean> {
  if (!existsSync(run.path('results'))) return false;
  try {
    await run.readResults();
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}
