import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { bitsLabel, hasLearnedRotation, type ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { listRuns, openRun, RUN_FILES, type Run } from '../../runs/index.ts';
import { rotationsFile } from '../rotation/rotation-file.ts';

/** Learned rotations that an experiment is measured with. */
export interface Source {
  /** Path of the file. */
  readonly rotations: string;
  /** The run that they are of; null for a file without a run. */
  readonly run: Run | null;
}

/** A run folder or a file of rotations; `newest` is the newest run of this experiment; null where none are named. */
export type Named = { readonly path: string } | 'newest' | null;

/**
 * The learned rotations to measure with; null where an experiment learns none and none are named.
 * @throws UserError `rotation/not-learned-yet` when they are needed and none are named or found,
 * `rotation/none-in-run` when they are not where they were named.
 */
export async function findSource(experiment: ResolvedExperiment, named: Named): Promise<Source | null> {
  if (named !== null && named !== 'newest') return sourceAt(named.path);
  if (!hasLearnedRotation(experiment.rotation)) return null;
  const newest = await newestLearned(experiment);
  if (named === 'newest' && newest) return { rotations: newest.path('rotations'), run: newest };
  const { r1, r2 } = experiment.rotation;
  const needed = `rotation.r1 is "${r1}" and r2 is "${r2}"`;
  throw named === 'newest'
    ? new UserError(
        'rotation/not-learned-yet',
        `${needed}, and this experiment has no learned rotation yet (${bitsLabel(experiment.quantization)}).`,
        'Optimize the rotation first.',
      )
    : new UserError(
        'rotation/none-named',
        `${needed}: learned rotations are needed, and none are named.`,
        newest
          ? `The newest of this experiment: --rotations ${newest.dir}`
          : 'Run `spinquant optimize` first, then name its run folder with --rotations.',
      );
}

async function sourceAt(path: string): Promise<Source> {
  const rotations = rotationsFile(path);
  const isRun = existsSync(join(path, RUN_FILES.run));
  return { rotations, run: isRun ? await openRun(path) : null };
}

async function newestLearned({ runs: folder, source }: ResolvedExperiment): Promise<Run | null> {
  const { runs } = await listRuns(folder);
  return runs.find((run) => run.experimentFile === source.file && existsSync(run.path('rotations'))) ?? null;
}
