import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  type Device,
  formatFault,
  hasLearnedRotation,
  type Purpose,
  type ResolvedExperiment,
} from '../config/index.ts';
import { UserError } from '../protocol/errors.ts';
import { listRuns, RUN_FILES } from '../runs/index.ts';
import type { Output } from './output.ts';

export type KernelOption = 'auto' | 'native' | 'composed';

/** Options of the commands that compute. */
export interface ComputeFlags {
  readonly kernels: KernelOption;
  /** In the place of the experiment's. */
  readonly device?: Device;
}

/**
 * Reads an experiment, checks it against its model too, and says its warnings.
 * @param device in the place of the one written there.
 * @throws ExperimentError with every fault.
 */
export async function loadExperiment(
  file: string,
  purpose: Purpose,
  output: Output,
  device?: Device,
): Promise<ResolvedExperiment> {
  // Only now: help and faults of the command line must not wait for the engine.
  const { loadExperiment: load } = await import('../engine/plan/check/load.ts');
  const experiment = await load(file, purpose);
  for (const fault of experiment.source.warnings)
    output.note(`${output.colors.yellow('Warning:')} ${formatFault(file, fault)} ${fault.hint}`);
  return device === undefined ? experiment : { ...experiment, device };
}

/** The file of rotations that a path names: the file itself, or that of a run folder. */
export function rotationsFile(path: string): string {
  const inRun = join(path, RUN_FILES.rotations);
  if (existsSync(inRun)) return resolve(inRun);
  if (existsSync(path) && !existsSync(join(path, RUN_FILES.run))) return resolve(path);
  throw new UserError(
    'cli/no-rotations',
    existsSync(path)
      ? `The run ${path} has no ${RUN_FILES.rotations}: it did not end.`
      : `There is no ${path}.`,
    'Name a finished run folder or a rotations.safetensors; `spinquant runs` lists runs.',
  );
}

/**
 * The rotations to evaluate an experiment with: what was named, or none where nothing is learned.
 * @throws UserError when learned rotations are needed and none are named.
 */
export async function chooseRotations(
  experiment: ResolvedExperiment,
  named: string | undefined,
): Promise<string | undefined> {
  if (named !== undefined) return rotationsFile(named);
  if (!hasLearnedRotation(experiment.rotation)) return undefined;
  const { runs } = await listRuns(experiment.runs);
  const finished = runs.find(
    (run) => run.experimentFile === experiment.source.file && existsSync(run.path('rotations')),
  );
  throw new UserError(
    'cli/no-rotations',
    `rotation.r1 is "${experiment.rotation.r1}" and r2 is "${experiment.rotation.r2}": learned rotations are needed, and none are named.`,
    finished
      ? `The newest of this experiment: --rotations ${finished.dir}`
      : 'Run `spinquant optimize` first, then name its run folder with --rotations.',
  );
}
