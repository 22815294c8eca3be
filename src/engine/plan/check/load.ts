import { resolve } from 'node:path';
import {
  checkExperiment,
  ExperimentError,
  type Fault,
  type Purpose,
  type ResolvedExperiment,
  readExperimentText,
  relativeToHere,
  uniqueFaults,
} from '../../../config/index.ts';
import { checkAgainstModel } from './check-model.ts';

/**
 * Reads an experiment file and checks all that can be known before anything runs: the file alone, the files that it
 * names, and its settings against the model.
 * @throws ExperimentError with every fault; UserError when the file cannot be read.
 */
export async function loadExperiment(path: string, purpose: Purpose): Promise<ResolvedExperiment> {
  const file = resolve(path);
  const { experiment, faults, parsed } = await checkExperiment(await readExperimentText(file), file, purpose);
  const { faults: byModel } = await checkAgainstModel(parsed, file, purpose);
  const all = uniqueFaults<Fault>([...faults, ...byModel]);
  if (experiment === null || all.some(({ severity }) => severity === 'error'))
    throw new ExperimentError(relativeToHere(file), all);
  return { ...experiment, source: { ...experiment.source, warnings: all } };
}
