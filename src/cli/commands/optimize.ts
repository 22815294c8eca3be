import { type Cluster, type ResolvedExperiment, relativeToHere } from '../../config/index.ts';
import type { MatrixResult, OptimizeResult, Ranks } from '../../engine/index.ts';
import { Cancelled, UserError } from '../../protocol/errors.ts';
import { formatCount } from '../../protocol/text.ts';
import { collectCells, openRun, tableOf } from '../../runs/index.ts';
import { clusterOf, ownProgram } from '../cluster.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import type { ExitCode } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import { matrixTable } from '../matrix-table.ts';
import { measurementTables } from '../measurement-tables.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { onRanks, stoppedWith } from '../ranks.ts';

export interface OptimizeFlags extends ComputeFlags {
  /** It is true for `--resume` without a run. */
  readonly resume?: string | true;
  /** It takes that run from a process that is, or may be, at work on it. */
  readonly takeOver?: boolean;
  readonly seed?: number;
  /** It is true for `--cluster` without a file. */
  readonly cluster?: string | true;
  readonly local?: boolean;
}

export async function optimize(
  file: string,
  flags: OptimizeFlags,
  output: Output,
): Promise<ExitCode | undefined> {
  return onRanks(output, (ranks, own) => optimizeOn(ranks, file, flags, own));
}

async function optimizeOn(
  ranks: Ranks,
  file: string,
  flags: OptimizeFlags,
  output: Output,
): Promise<undefined> {
  const asked = withSeed(await loadExperiment(file, 'optimize', output, flags.device, ranks), flags.seed);
  const engine = await loadEngine();
  await using place = await engine.openRankPlace(ranks, asked.runs);
  const experiment = place.experiment(asked);
  const { resume, takeOver } = flags;
  const onCluster = await clusterOf(experiment, flags);
  if (onCluster) return fillOnCluster(experiment, onCluster, flags, output);
  if (experiment.matrix) return fillMatrix(experiment, flags, output);
  if (takeOver && resume === undefined)
    throw new UserError(
      'cli/take-over',
      '--take-over says which run may be taken from another process, and none is named.',
      'Name it: --resume RUN --take-over',
    );
  const named = resume === true ? null : resume;
  const resumeFrom =
    named === undefined
      ? undefined
      : await place.run(
          await engine.fromLeader(ranks, async () => (await engine.runToResume(asked, named, takeOver)).dir),
        );
  const result = await interruptible(output, (signal) =>
    follow(
      engine.optimizeRotation(experiment, {
        signal: stoppedWith(ranks, signal),
        kernels: flags.kernels,
        ...{ ranks, resumeFrom, takeOver },
      }),
      output,
    ),
  );
  output.document(result);
  output.result(summary(result));
}

/** A matrix goes on by itself where it stopped. */
async function fillMatrix(
  experiment: ResolvedExperiment,
  { kernels, resume, takeOver, seed }: OptimizeFlags,
  output: Output,
): Promise<undefined> {
  checkFlags(experiment, { resume, seed });
  const engine = await loadEngine();
  const result = await interruptible(output, (signal) =>
    follow(engine.runMatrix(experiment, { signal, kernels, takeOver }), output),
  );
  await printTable(experiment, result, output);
}

/** Ctrl-C leaves the jobs to the cluster. */
async function fillOnCluster(
  experiment: ResolvedExperiment,
  cluster: Cluster,
  flags: OptimizeFlags,
  output: Output,
): Promise<undefined> {
  checkFlags(experiment, flags);
  const engine = await loadEngine();
  const file = relativeToHere(experiment.source.file);
  try {
    const result = await interruptible(output, (signal) => {
      const options = { signal, kernels: flags.kernels, program: ownProgram() };
      return follow(engine.fillOnCluster(experiment, cluster, options), output);
    });
    if (experiment.matrix) await printTable(experiment, result, output);
    else await printOnly(result, output);
  } catch (error) {
    if (error instanceof Cancelled)
      output.note(
        `Jobs that were submitted go on. The same command watches them again; \`spinquant cluster cancel ${file}\` ends them.`,
      );
    throw error;
  }
}

/** @throws UserError where the experiment has no numbers. */
async function printOnly(result: MatrixResult, output: Output): Promise<void> {
  const run = (await loadEngine()).onlyRun(result);
  output.document(result);
  const { perplexity, tasks = [] } = await (await openRun(run)).readResults();
  output.result([...measurementTables({ perplexity, tasks }), `Run: ${run}`].join('\n\n'));
}

async function printTable(
  experiment: ResolvedExperiment,
  result: MatrixResult,
  output: Output,
): Promise<void> {
  const engine = await loadEngine();
  output.document(result);
  output.result(matrixTable(tableOf(await collectCells(experiment, await engine.obstaclesOf(experiment)))));
}

function checkFlags(
  experiment: ResolvedExperiment,
  {
    resume,
    seed,
    takeOver,
  }: { readonly [K in 'resume' | 'seed' | 'takeOver']?: OptimizeFlags[K] | undefined },
): void {
  const what = experiment.matrix ? 'is a matrix' : 'goes to a cluster';
  if (typeof resume === 'string')
    throw new UserError(
      'cli/matrix-resume',
      `${experiment.source.file} ${what}: it goes on by itself, and --resume ${resume} names one run.`,
      'Leave the name out.',
    );
  if (takeOver)
    throw new UserError(
      'cli/not-used',
      `${experiment.source.file} goes to a cluster, whose jobs take nothing from other processes: --take-over would not be used.`,
      'Leave it out, or add --local to compute here. `spinquant cluster cancel FILE` ends jobs.',
    );
  if (seed !== undefined && !experiment.matrix)
    throw new UserError(
      'cli/cluster-seed',
      `${experiment.source.file} goes to a cluster, whose jobs read the seed from the file.`,
      `Set "seed": ${seed} under "rotation" there, or compute here: --local.`,
    );
  if (seed !== undefined)
    throw new UserError(
      'cli/matrix-seed',
      `${experiment.source.file} is a matrix, whose seeds are in matrix.seeds.`,
      `Leave --seed out, or set "seeds": [${seed}] there.`,
    );
}

function withSeed(experiment: ResolvedExperiment, seed: number | undefined): ResolvedExperiment {
  if (seed === undefined) return experiment;
  return { ...experiment, rotation: { ...experiment.rotation, seed } };
}

function errorsOf({ orthogonalityError: columns, rowOrthogonalityError: rows }: OptimizeResult): string {
  return `|RᵀR − I| at most ${columns.toExponential(1)}, |RRᵀ − I| ${rows.toExponential(1)}`;
}

function summary(result: OptimizeResult): string {
  const lines = [
    `Loss ${result.loss.first.toFixed(4)} → ${result.loss.last.toFixed(4)} in ${formatCount(result.steps, 'step')}, ${errorsOf(result)}`,
  ];
  const tables = measurementTables(result);
  if (tables.length > 0) lines.push('', tables.join('\n\n'), '');
  lines.push(`Run: ${result.run}`);
  return lines.join('\n');
}
