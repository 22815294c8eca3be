import { join } from 'node:path';
import type { ResolvedExperiment } from '../../../config/index.ts';

/** The folder of results that the cells of matrices share, in the folder of runs. */
export function stepsFolder({ runs }: Pick<ResolvedExperiment, 'runs'>): string {
  return join(runs, '.steps');
}
