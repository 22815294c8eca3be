/** Rows of one experiment below each other. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { formatPerplexity } from '../shared/format.ts';
import type { ResultRow } from './rows.ts';

/** The name of the only group where nothing is grouped. */
export const UNGROUPED = '';

export interface RowGroup {
  /** Path of the experiment file. */
  readonly name: string;
  readonly title: string;
  readonly rows: readonly ResultRow[];
  readonly folded: boolean;
}

/** Groups stand in the order of their first row. @param folded names of groups whose rows are not shown. */
export function rowGroups(
  rows: readonly ResultRow[],
  grouped: boolean,
  folded: readonly string[],
  strings: ResultsStrings,
): RowGroup[] {
  if (!grouped) return [{ name: UNGROUPED, title: '', rows, folded: false }];
  const found = new Map<string, ResultRow[]>();
  for (const row of rows) {
    const group = found.get(row.run.experiment.file);
    if (group) group.push(row);
    else found.set(row.run.experiment.file, [row]);
  }
  return [...found].map(([name, ofOne]) => ({
    name,
    title: titleOf(ofOne, strings),
    rows: ofOne,
    folded: folded.includes(name),
  }));
}

/** `quick · 12 rows · perplexity 5.944 … 6.102` */
function titleOf(rows: readonly ResultRow[], strings: ResultsStrings): string {
  const values = rows.map(({ text }) => text.quantized).filter((value) => value !== null);
  const count = fill(rows.length === 1 ? strings.oneRow : strings.rowsOf, rows.length);
  const [least, most] = [Math.min(...values), Math.max(...values)].map(formatPerplexity);
  const range = values.length === 0 ? [] : [least === most ? least : `${least} … ${most}`];
  return [rows[0]?.run.experiment.name, count, ...range].join(' · ');
}
