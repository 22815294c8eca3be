import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Difference,
  experimentDifferences,
  portableExperiment,
  type ResolvedExperiment,
} from '../../config/index.ts';
import type { OptimizeResult } from '../../engine/api.ts';
import { UserError } from '../../protocol/errors.ts';
import { isResumable, listRuns, openRun, type Run } from '../../runs/index.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { perplexityTable } from '../perplexity-table.ts';
import { follow } from '../progress.ts';

export interface OptimizeFlags extends ComputeFlags {
  /** True for `--resume` without a run. */
  readonly resume?: string | true;
  readonly seed?: number;
}

export async function optimize(file: string, flags: OptimizeFlags, output: Output): Promise<undefined> {
  const experiment = withSeed(await loadExperiment(file, 'optimize', output, flags.device), flags.seed);
  const resumeFrom =
    flags.resume === undefined ? undefined : (await runToResume(experiment, flags.resume)).dir;
  const engine = await loadEngine();
  const result = await interruptible(output, (signal) =>
    follow(engine.optimizeRotation(experiment, { signal, kernels: flags.kernels, resumeFrom }), output),
  );
  output.document(result);
  output.result(summary(result));
}

function withSeed(experiment: ResolvedExperiment, seed: number | undefined): ResolvedExperiment {
  if (seed === undefined) return experiment;
  return { ...experiment, rotation: { ...experiment.rotation, seed } };
}

function summary(result: OptimizeResult): string {
  const lines = [
    `Loss ${result.loss.first.toFixed(4)} → ${result.loss.last.toFixed(4)} in ${result.steps} steps, orthogonality error ${result.orthogonalityError.toExponential(1)}`,
  ];
  if (result.perplexity.length > 0) lines.push('', perplexityTable(result.perplexity), '');
  lines.push(`Run: ${result.run}`);
  return lines.join('\n');
}

async function runToResume(experiment: ResolvedExperiment, named: string | true): Promise<Run> {
  if (named === true) return newestResumable(experiment);
  const inFolder = join(experiment.runs, named);
  const run = await openRun(existsSync(inFolder) ? inFolder : named);
  if (!isResumable(run))
    throw new UserError(
      'cli/not-resumable',
      `The run ${run.record.id} is ${run.record.status}${existsSync(run.path('checkpoint')) ? '' : ' and has no checkpoint'}: there is nothing to go on with.`,
      'Start a new one: leave --resume out.',
    );
  const differences = changedSettings(experiment, await run.readExperiment());
  if (differences.length > 0) throw changedError(run, differences);
  return run;
}

/** The newest stopped run of this file whose settings are those of the file. */
async function newestResumable(experiment: ResolvedExperiment): Promise<Run> {
  const { runs } = await listRuns(experiment.runs);
  let changed: UserError | null = null;
  for (const run of runs) {
    if (run.experimentFile !== experiment.source.file || !isResumable(run)) continue;
    const differences = changedSettings(experiment, await run.readExperiment());
    if (differences.length === 0) return run;
    changed ??= changedError(run, differences);
  }
  throw (
    changed ??
    new UserError(
      'cli/not-resumable',
      'No stopped run of this experiment has a checkpoint to go on from.',
      'Start a new one: leave --resume out. `spinquant runs` lists all.',
    )
  );
}

/** Settings that decide what is learned. What is measured afterwards may change, and so may the runs folder. */
function changedSettings(now: ResolvedExperiment, then: ResolvedExperiment): Difference[] {
  const differences = experimentDifferences(portableExperiment(then), portableExperiment(now));
  return differences.filter(({ path }) => !/^(evaluation|runs|\$schema)(\.|$)/.test(path));
}

function changedError(run: Run, differences: readonly Difference[]): UserError {
  const list = differences.map(
    ({ path, a, b }) => `${path} was ${JSON.stringify(a)}, is ${JSON.stringify(b)}`,
  );
  return new UserError(
    'cli/experiment-changed',
    `The experiment has changed since the run ${run.record.id} began: ${list.join('; ')}.`,
    'Restore these settings to go on with it, or leave --resume out to start a new run.',
  );
}
