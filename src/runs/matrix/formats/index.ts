import type { TableFormat } from '../../../protocol/table-formats.ts';
import type { MatrixTable } from '../summary.ts';
import { csv } from './csv.ts';
import { json } from './json.ts';
import { latex } from './latex.ts';
import { markdown } from './markdown.ts';

export { TABLE_FORMATS, type TableFormat } from '../../../protocol/table-formats.ts';

const WRITERS: Readonly<Record<TableFormat, (table: MatrixTable) => string>> = { markdown, latex, csv, json };

/** Writes a table as a text that ends without a newline. */
export function formatMatrix(table: MatrixTable, format: TableFormat): string {
  return WRITERS[format](table);
}
