import { join } from 'node:path';
import type { ResolvedExperiment } from '../../../config/index.ts';

/** The folder of results that the cells of matrices share, in the folder of runs. */
export function stepsFolder({ runs }: ResolvedExperiment): string {
  return join(runs, '.steps');
}
