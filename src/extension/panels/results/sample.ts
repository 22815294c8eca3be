import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type Experiment, hasLearnedRotation, isDeciding } from '../../../config/index.ts';
import type { Sample } from '../../../protocol/panels/results.ts';
import type { ResultsFile } from '../../../runs/index.ts';
import { flatSettings } from './method.ts';

const isSeed = (path: string): boolean => /\.seed$/.test(path);

/** What the numbers of a run are a sample of. The same rotations, measured again, are no other sample. */
export function sampleOf(dir: string, experiment: Experiment, { rotationsOf }: ResultsFile): Sample {
  const settings = Object.entries(flatSettings(experiment)).filter(([path]) => isDeciding(path, 'any'));
  return {
    setting: digest(settings.filter(([path]) => !isSeed(path))),
    seeds: JSON.stringify(settings.filter(([path]) => isSeed(path))),
    rotations: hasLearnedRotation(experiment.rotation) ? (rotationsOf?.run ?? basename(dir)) : '',
  };
}

/** All settings of a run are long, and only compared. */
function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}
