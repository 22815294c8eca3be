import { createHash } from 'node:crypto';
import {
  type Experiment,
  hasLearnedRotation,
  isDeciding,
  isSeeded,
  learnsOnText,
  METHODS,
  roundingOf,
  scalingOf,
  trainingOf,
} from '../../../config/index.ts';
import type { Sample, Setting } from '../../../protocol/panels/results.ts';
import type { ResultsFile } from '../../../runs/index.ts';
import { flatSettings } from './method.ts';

/** What a run says of the rotations that it measured. */
export interface RotationSource {
  /** Name of the run folder. */
  readonly id: string;
  readonly experiment: Experiment;
  readonly results: Pick<ResultsFile, 'rotationsOf'>;
  /** The print of its file of rotations; null where there is none. */
  readonly rotationsPrint: string | null;
}

const isSeed = (path: string): boolean => /\.seed$/.test(path);
const isBits = (path: string): boolean =>
  /^quantization\.(weights|activations|keys|values)\.bits$/.test(path);

/** Runs of earlier versions that only measured have such names, and do not tell whose rotations. */
const MEASURED = /-evaluate(-\d+)?$/;

/**
 * What the numbers of a run are a sample of. The same rotations, measured again, are no other sample: they are known by
 * their numbers, else by the run that learned them.
 * @param prints of the rotations of all runs, by the names of their folders.
 */
export function sampleOf(source: RotationSource, prints: ReadonlyMap<string, string>): Sample {
  const { experiment } = source;
  const settings = Object.entries(decidingSettings(experiment));
  const seeded = isSeeded(experiment);
  return {
    variant: digest(settings.filter(([path]) => !isSeed(path) && !isBits(path))),
    seeds: seeded ? JSON.stringify(settings.filter(([path]) => isSeed(path))) : '',
    seeded,
    rotations: hasLearnedRotation(experiment.rotation) ? rotationsOf(source, prints) : '',
  };
}

function rotationsOf(
  { id, results, rotationsPrint }: RotationSource,
  prints: ReadonlyMap<string, string>,
): string | null {
  if (rotationsPrint !== null) return rotationsPrint;
  const { rotationsOf: origin } = results;
  if (origin) return origin.run === null ? id : (prints.get(origin.run) ?? origin.run);
  return MEASURED.test(id) ? null : id;
}

/** The settings that decide the numbers, by path: those that the experiment does not read are left out. */
export function decidingSettings(experiment: Experiment): Record<string, Setting> {
  const learns = hasLearnedRotation(experiment.rotation);
  const reads = trainingOf(experiment) !== null || learnsOnText(experiment);
  const chosen = [trainingOf(experiment), scalingOf(experiment), roundingOf(experiment.quantization)];
  const others = METHODS.filter((method) => !chosen.includes(method)).map(({ name }) => name);
  const settings = Object.entries(flatSettings(experiment)).filter(([path]) => {
    if (others.some((name) => path.split('.').includes(name))) return false;
    if (!learns && /^rotation\.(learning|start)\b/.test(path)) return false;
    if (!reads && path.startsWith('calibration.')) return false;
    return path !== 'model' && isDeciding(path, 'any');
  });
  return Object.fromEntries(settings);
}

/** All settings of a run are long, and only compared. */
function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}
