import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  bitsLabel,
  hasLearnedRotation,
  type Quantization,
  type ResolvedExperiment,
  type Rotation,
  withKeyOffset,
} from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import { listRuns, openRun, type RotationsOf, RUN_FILES, type Run } from '../../runs/index.ts';
import { readRotationFacts, rotationsFile } from '../rotation/rotation-file.ts';

/** Learned rotations that an experiment is measured with. */
export interface Source {
  /** Path of the file. */
  readonly rotations: string;
  /** The run whose folder they lie in; null for a file outside of one. */
  readonly run: Run | null;
  /** The run that learned them. */
  readonly origin: RotationsOf;
  /** The settings of the run, by which they were learned; null for a file without a run. */
  readonly settings: Rotation | null;
  /** The part that keys of that run are quantized without, as its settings name it. */
  readonly keyOffset?: KeyOffsetSetting | undefined;
  /** What was named and is not used, with the way to use it. */
  readonly unused: { readonly message: string; readonly hint: string } | null;
}

/** A run folder or a file of rotations; `newest` is the newest run of this experiment; null where none are named. */
export type Named = { readonly path: string } | 'newest' | null;

/**
 * The learned rotations to measure with; null where an experiment learns none and none are named.
 * @throws UserError `rotation/not-learned-yet` when they are needed and none are named or found,
 * `rotation/none-in-run` when they are not where they were named, `rotation/not-used` when the experiment learns none.
 */
export async function findSource(experiment: ResolvedExperiment, named: Named): Promise<Source | null> {
  if (named !== null && named !== 'newest') return sourceAt(experiment, named.path);
  if (!hasLearnedRotation(experiment.rotation)) return null;
  const newest = await newestLearned(experiment);
  if (named === 'newest' && newest) return sourceAt(experiment, newest.dir);
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

/**
 * Opens the rotations that a path names.
 * @param path a run folder, or a file of rotations.
 * @throws UserError `rotation/none-in-run`, `rotation/not-used`.
 */
export async function sourceAt(experiment: ResolvedExperiment, path: string): Promise<Source> {
  const rotations = rotationsFile(path);
  const folder = dirname(rotations);
  const run = existsSync(join(folder, RUN_FILES.run)) ? await openRun(folder) : null;
  const { held, seed } = readRotationFacts(rotations);
  const learnedBy = run && (await run.readExperiment());
  const settings = learnedBy?.rotation ?? null;
  const keyOffset = learnedBy?.quantization.keys.offset;
  const origin = run
    ? await originOf(run, seed ?? settings?.seed ?? null)
    : ({ run: null, seed } satisfies RotationsOf);
  const unused = unusedOf(experiment.rotation, { path, held, settings });
  return { rotations, run, origin, settings, keyOffset, unused };
}

/** The run that learned the rotations of a run. @param seed of their start, as far as it is known. */
export async function originOf(run: Run, seed: number | null): Promise<RotationsOf> {
  const own = { run: run.record.id, seed };
  if (!existsSync(run.path('results'))) return own;
  try {
    return (await run.readResults()).rotationsOf ?? own;
  } catch (error) {
    if (error instanceof UserError) return own; // Whoever needs the results is told of the damage.
    throw error;
  }
}

/**
 * The experiment with the settings by which the rotations were learned in the place of those in the file, which may have
 * been edited since, or overruled by `--seed`. So is what is left open about keys.
 */
export function measuredWith(experiment: ResolvedExperiment, source: Source | null): ResolvedExperiment {
  if (source === null) return experiment;
  const { seed, start, learning } = source.settings ?? experiment.rotation;
  const rotation = { ...experiment.rotation, seed: source.origin.seed ?? seed, start, learning };
  const learned = { ...experiment, rotation };
  return withKeysOf(learned, source.keyOffset);
}

type KeyOffsetSetting = Quantization['keys']['offset'];

/** What an experiment leaves open about its keys, as a run that serves it has named it. */
export function withKeysOf(
  experiment: ResolvedExperiment,
  named: KeyOffsetSetting = 'auto',
): ResolvedExperiment {
  const isOpen = named !== 'auto' && experiment.quantization.keys.offset === 'auto';
  return isOpen ? withKeyOffset(experiment, named) : experiment;
}

/** Tells what was named and is not used. */
export function* warningsOf(source: Source | null): Generator<RunEvent> {
  if (source?.unused) yield timed({ type: 'warning', ...source.unused });
}

interface Held {
  readonly path: string;
  readonly held: { readonly r1: boolean; readonly r2: boolean };
  readonly settings: Rotation | null;
}

const BOTH = ['r1', 'r2'] as const;

/** @throws UserError `rotation/not-used` where nothing of what was named would be used. */
function unusedOf(wanted: Rotation, { path, held, settings }: Held): Source['unused'] {
  // A run keeps the rotations that it drew, too: drawn again by the same settings, they are the same.
  const unused = BOTH.filter(
    (name) => held[name] && wanted[name] !== 'learned' && settings?.[name] !== wanted[name],
  );
  const kinds = BOTH.map((name) => `rotation.${name} is "${wanted[name]}"`);
  if (!hasLearnedRotation(wanted)) {
    const names = BOTH.filter((name) => held[name]).map((name) => name.toUpperCase());
    const what = names.length === 0 ? 'the rotations' : names.join(' and ');
    throw new UserError(
      'rotation/not-used',
      `${kinds.join(' and ')}: ${what} of ${path} would not be used.`,
      'Set rotation.r1 or rotation.r2 to "learned" to use them, or leave --rotations out to measure without them.',
    );
  }
  const [one] = unused;
  if (one === undefined) return null;
  return {
    message: `rotation.${one} is "${wanted[one]}": ${one.toUpperCase()} of ${path} is not used.`,
    hint: `Set rotation.${one} to "learned" to use it.`,
  };
}

async function newestLearned({ runs: folder, source }: ResolvedExperiment): Promise<Run | null> {
  const { runs } = await listRuns(folder);
  return runs.find((run) => run.experimentFile === source.file && existsSync(run.path('rotations'))) ?? null;
}
