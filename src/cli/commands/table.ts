import { experimentOfText, readExperimentText, relativeToHere } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import {
  collectCells,
  formatMatrix,
  publishedFor,
  type TableFormat,
  tableDocument,
  tableOf,
} from '../../runs/index.ts';
import { loadEngine } from '../engine.ts';
import { matrixTable } from '../matrix-table.ts';
import type { Output } from '../output.ts';

/** Prints what the runs of a matrix hold. The model and the texts may be gone. */
export async function table(
  file: string,
  { format }: { readonly format?: TableFormat },
  output: Output,
): Promise<undefined> {
  const experiment = experimentOfText(await readExperimentText(file), file);
  if (!experiment.matrix)
    throw new UserError(
      'cli/no-matrix',
      `${relativeToHere(file)} has no matrix.`,
      'Add "matrix": { "preset": "table1" }, or list methods and bits; `spinquant runs` lists single runs.',
    );
  const cells = await collectCells(experiment, await (await loadEngine()).obstaclesOf(experiment));
  const found = tableOf(cells, await publishedFor(experiment.model));
  output.document(tableDocument(found));
  output.result(format === undefined ? matrixTable(found) : formatMatrix(found, format));
}
