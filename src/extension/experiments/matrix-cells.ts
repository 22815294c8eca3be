/** The cells of experiments with a matrix. Knows nothing of the editor. */

import { dirname } from 'node:path';
import {
  ExperimentError,
  experimentOfText,
  type ResolvedCell,
  type ResolvedExperiment,
  resolvedCells,
} from '../../config/index.ts';
import { tableCell } from '../../protocol/table-cell.ts';
import type { Run } from '../../runs/index.ts';

/** An experiment with a matrix. */
export interface MatrixExperiment {
  readonly experiment: ResolvedExperiment;
  /** Its cells in the order in which they are filled. */
  readonly cells: readonly ResolvedCell[];
}

/** What a text says: a matrix, none, or faults. */
export type MatrixReading = MatrixExperiment | ExperimentError | null;

/** Expands a matrix once for each text: a table of a hundred cells is a hundred experiments. */
export class MatrixCells {
  readonly #known = new Map<string, { readonly text: string; readonly reading: MatrixReading }>();

  /** @param file absolute path, to which the text's paths are relative. */
  of(text: string, file: string): MatrixReading {
    const known = this.#known.get(file);
    if (known?.text === text) return known.reading;
    const reading = readMatrix(text, file);
    this.#known.set(file, { text, reading });
    return reading;
  }
}

function readMatrix(text: string, file: string): MatrixReading {
  // Most experiments have none, and need not be parsed to know it.
  if (!text.includes('"matrix"')) return null;
  try {
    const experiment = experimentOfText(text, file);
    return experiment.matrix ? { experiment, cells: resolvedCells(experiment) } : null;
  } catch (error) {
    if (error instanceof ExperimentError) return error;
    throw error;
  }
}

/** The runs that may be cells of an experiment: those of its file, and those in its folder of runs. */
export function runsOfMatrix({ source, runs: folder }: ResolvedExperiment, runs: readonly Run[]): Run[] {
  return runs.filter(
    ({ dir, experimentFile, record }) =>
      tableCell(record) !== null && (experimentFile === source.file || dirname(dir) === folder),
  );
}
