/** Experiments with a matrix as the disk holds them, and how far their tables are. Knows nothing of the editor. */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExperimentError, modelPlace, type ResolvedExperiment } from '../../config/index.ts';
import { messageOf } from '../../protocol/errors.ts';
import type { CellReasons } from '../../protocol/worker.ts';
import { type CellCount, countCells } from '../../runs/index.ts';
import type { Services } from '../services.ts';
import { MatrixCells, type MatrixReading, runsOfMatrix } from './matrix-cells.ts';

/** What tables are read from. */
export interface MatrixServices {
  readonly runs: Pick<Services['runs'], 'list'>;
  readonly reasons: Pick<Services['reasons'], 'of'>;
  readonly log: Pick<Services['log'], 'warn'>;
}

export class MatrixFiles {
  readonly #services: MatrixServices;
  readonly #cells = new MatrixCells();
  readonly #texts = new FileCache<string>();

  constructor(services: MatrixServices) {
    this.#services = services;
  }

  /** What the file on the disk says: that is what is filled. */
  async reading(file: string): Promise<MatrixReading> {
    try {
      return this.#cells.of(await this.#text(file), file);
    } catch (error) {
      this.#services.log.warn(messageOf(error));
      return null;
    }
  }

  /** Why cells stay empty, by their keys, as far as the worker has told it. */
  async reasons({ source, model }: ResolvedExperiment): Promise<CellReasons> {
    try {
      // Always asked of the text on the disk: who asked of another one in turn would never hear the end of it.
      const text = await this.#text(source.file);
      return this.#services.reasons.of({ file: source.file, text, modelTime: timeOf(configOf(model)) });
    } catch (error) {
      this.#services.log.warn(messageOf(error));
      return {};
    }
  }

  /** How far the table of a file is; null where it has none, or faults. @param text an unsaved one. */
  async count(file: string, text?: string): Promise<CellCount | null> {
    const reading = text === undefined ? await this.reading(file) : this.#cells.of(text, file);
    if (reading === null || reading instanceof ExperimentError) return null;
    const { experiment, cells } = reading;
    return countCells(
      cells,
      runsOfMatrix(experiment, this.#services.runs.list()),
      await this.reasons(experiment),
    );
  }

  #text(file: string): Promise<string> {
    return this.#texts.get(file, () => readFile(file, 'utf8'));
  }
}

/** What was read from files, until they change. */
export class FileCache<T> {
  readonly #known = new Map<string, { readonly mtimeMs: number; readonly value: T }>();

  async get(path: string, read: () => Promise<T>): Promise<T> {
    const mtimeMs = timeOf(path);
    const known = this.#known.get(path);
    if (known?.mtimeMs === mtimeMs) return known.value;
    const value = await read();
    this.#known.set(path, { mtimeMs, value });
    return value;
  }
}

/** Of a model as experiments name it, also of one on the Hub. */
export const configOf = (model: string): string => join(modelPlace(model).folder ?? model, 'config.json');

/** 0 for a file that is not there. */
export function timeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
