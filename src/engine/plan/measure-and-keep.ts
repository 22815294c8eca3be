/** Measurements whose results are kept: in the run that the rotations are of, or in a run of their own. */
import { existsSync } from 'node:fs';
import { constants, copyFile } from 'node:fs/promises';
import { decidingDifferences, experimentSlug, type ResolvedExperiment } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { createRun, type Run } from '../../runs/index.ts';
import { evaluateExperiment } from './evaluate.ts';
import { inspectActivations } from './inspect.ts';
import type { EngineOptions } from './options.ts';
import { recordRun } from './record-run.ts';
import type { Source } from './source.ts';

/** Evaluates. @returns the run folder that holds the results. */
export async function* evaluateAndKeep(
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EngineOptions,
): AsyncGenerator<RunEvent, string> {
  const own = await runOf(source, experiment);
  const rotations = source?.rotations;
  if (own && existsSync(own.path('results'))) {
    yield* evaluateExperiment(experiment, { ...options, rotations, runDir: own.dir });
    return own.dir;
  }
  const run = createRun(experiment, `${experimentSlug(experiment.source.file)}-evaluate`);
  return yield* recordRun(run, evaluateInto(run, experiment, rotations, options));
}

async function* evaluateInto(
  run: Run,
  experiment: ResolvedExperiment,
  rotations: string | undefined,
  options: EngineOptions,
): AsyncGenerator<RunEvent, string> {
  const began = performance.now();
  const found = yield* evaluateExperiment(experiment, { ...options, rotations, record: run });
  if (rotations !== undefined) await copyFile(rotations, run.path('rotations'), constants.COPYFILE_FICLONE);
  const { perplexity, bits } = found;
  const seconds = { evaluate: (performance.now() - began) / 1000 };
  run.writeResults({ version: 1, bits, loss: null, orthogonalityError: null, steps: 0, perplexity, seconds });
  return run.dir;
}

/** Looks at activations. @returns the run folder that holds the statistics. */
export async function* inspectAndKeep(
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EngineOptions,
): AsyncGenerator<RunEvent, string> {
  const rotations = source?.rotations;
  const own = await runOf(source, experiment);
  if (own) {
    yield* inspectActivations(experiment, { ...options, rotations, runDir: own.dir });
    return own.dir;
  }
  const run = createRun(experiment, `${experimentSlug(experiment.source.file)}-inspect`);
  yield* recordRun(run, inspectActivations(experiment, { ...options, rotations, record: run }));
  return run.dir;
}

/** The source's run if it was made with these settings, where it runs and what it is measured on aside. */
async function runOf(source: Source | null, experiment: ResolvedExperiment): Promise<Run | null> {
  if (!source?.run) return null;
  const then = await source.run.readExperiment();
  return decidingDifferences(then, experiment, 'any').length === 0 ? source.run : null;
}
