/** Rows of data files: objects from JSON lines and from parquet, a few at a time. */
import { readJsonRows } from './json-rows.ts';
import { readParquetRows } from './parquet.ts';

/** A row by the names of its fields. */
export type Row = Readonly<Record<string, unknown>>;

/** A row with the words that say where it is: `FILE:12`, `FILE: row 12`. */
export interface PlacedRow {
  readonly row: Row;
  readonly place: string;
}

export interface RowOptions {
  /** Only these fields are read, where the file has its fields apart; all by default. */
  readonly fields?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** True for files that have rows, by their names; others are plain text. */
export function hasRows(path: string): boolean {
  return /\.(parquet|(jsonl|ndjson|json)(\.gz)?)$/i.test(path);
}

/**
 * Reads the rows of JSON lines (`.jsonl`, `.ndjson`, `.json`, each also with `.gz`), of a JSON list of objects, or of
 * a parquet file, by the name of the file. No more is read than is asked for: a line, or a row group.
 * @throws UserError `rows/…`, `parquet/…`, `gzip/damaged`, and those of reading a text.
 */
export async function* readRows(path: string, options: RowOptions = {}): AsyncGenerator<Row, void> {
  for await (const { row } of readPlacedRows(path, options)) yield row;
}

/** {@link readRows} with the place of each row, for messages. */
export function readPlacedRows(path: string, options: RowOptions = {}): AsyncGenerator<PlacedRow, void> {
  return /\.parquet$/i.test(path) ? readParquetRows(path, options) : readJsonRows(path, options.signal);
}
