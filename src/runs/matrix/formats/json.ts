import { basename } from 'node:path';
import type { TableCell } from '../collect.ts';
import { measuredIn } from '../measured.ts';
import type { MatrixTable } from '../summary.ts';
import { tableNotes } from './words.ts';

/** A number of a cell, with what it rests on. */
export interface CellDocument {
  readonly method: string;
  readonly title: string;
  readonly bits: string;
  readonly seed: number;
  /** Null where the cell has no numbers. */
  readonly metric: string | null;
  readonly name: string | null;
  readonly value: number | null;
  readonly standardError: number | null;
  /** Windows of a text, or questions of a task. */
  readonly count: number | null;
  /** The limit of questions; null where all were asked. */
  readonly limit: number | null;
  /** Of learning, rounding and evaluation of the cell; null where its run does not tell. */
  readonly seconds: number | null;
  /** Largest memory of the process in any of its steps; null where its run does not tell. */
  readonly peakBytes: number | null;
  readonly status: string;
  /** Id of the run. */
  readonly run: string | null;
  /** SHA-256 of the model's files. */
  readonly model: string | null;
  readonly measuredAt: string | null;
  readonly message: string | null;
  /** Of what is multiplied, where some places have other bits than the rest; else null. */
  readonly averageBits: number | null;
  /** Which places these are; null where there are none. */
  readonly exceptions: string | null;
}

/** One entry for each number, and one for each cell that has none. */
export function cellDocuments({ rows }: MatrixTable): CellDocument[] {
  return rows.flatMap(({ cells }) => cells).flatMap(documentsOf);
}

function documentsOf(cell: TableCell): CellDocument[] {
  const { method, title, bits, seed, status, model, message, results, seconds, mixed } = cell;
  const about = {
    ...{ method, title, bits, seed, status, model, message },
    run: cell.run === null ? null : basename(cell.run),
    ...{ seconds, peakBytes: results?.peakBytes ?? null },
    measuredAt: results?.measuredAt ?? null,
    averageBits: mixed?.mixed ?? null,
    exceptions: mixed?.exceptions.join('; ') ?? null,
  };
  const measured = measuredIn(cell);
  if (measured.length === 0) {
    return [
      { ...about, metric: null, name: null, value: null, standardError: null, count: null, limit: null },
    ];
  }
  return measured.map(({ metric, name, value, standardError, count, limit }) => ({
    ...about,
    ...{ metric, name, value, standardError, count, limit },
  }));
}

/** The whole table: measured cells, published values apart from them, and what other formats say below. */
export function tableDocument(table: MatrixTable) {
  const published = table.published && {
    ...table.published,
    values: table.rows.flatMap((row) => row.published),
  };
  return { cells: cellDocuments(table), published, notes: tableNotes(table) };
}

export function json(table: MatrixTable): string {
  return JSON.stringify(tableDocument(table), null, 2);
}
