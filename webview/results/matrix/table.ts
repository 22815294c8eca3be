/** The table of a matrix as rows of text, block by block as papers print it. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type {
  MatrixColumn,
  MatrixRow,
  MatrixTable,
  MatrixValue,
} from '../../../src/protocol/panels/matrix.ts';
import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import { OVERFLOW } from '../../../src/protocol/perplexity.ts';
import { formatSeconds } from '../../shared/format.ts';
import { addedBits, meanSeconds } from './pareto.ts';
import { formatValue } from './view.ts';

/** The rows of one setting of bits. */
export interface Block {
  readonly bits: string;
  readonly rows: readonly MatrixRow[];
}

export function blocksOf({ rows }: MatrixTable): Block[] {
  const settings = [...new Set(rows.map(({ bits }) => bits))];
  return settings.map((bits) => ({ bits, rows: rows.filter((row) => row.bits === bits) }));
}

/** Settings of bits besides full precision. */
export function bitsOfTable({ rows }: MatrixTable): string[] {
  return [...new Set(rows.filter(({ isFull }) => !isFull).map(({ bits }) => bits))];
}

/** `8.123`, or `8.123 ± 0.045` over seeds. */
export function valueText({ mean, deviation }: MatrixValue, { metric }: MatrixColumn): string {
  if (mean === null) return OVERFLOW;
  return deviation === null
    ? formatValue(mean, metric)
    : `${formatValue(mean, metric)} ± ${formatValue(deviation, metric)}`;
}

/** The number of a cell of the table, or the state of its runs. */
export function cellText(
  row: MatrixRow,
  at: number,
  columns: readonly MatrixColumn[],
  strings: MatrixStrings,
) {
  const value = row.values[at];
  const column = columns[at];
  return value && column ? valueText(value, column) : strings.status[stateOf(row)];
}

/** The state of the first run that has no numbers; `finished` where all have. */
export function stateOf({ cells }: MatrixRow) {
  const running = cells.find(({ status }) => status === 'running');
  return (running ?? cells.find(({ status }) => status !== 'finished'))?.status ?? 'finished';
}

export function timeText(row: MatrixRow): string {
  const seconds = meanSeconds(row);
  return seconds === null ? '–' : formatSeconds(seconds);
}

/** Average bits of what is multiplied, the mean over seeds; a dash where all places have the bits of the row. */
export function averageBitsText(row: MatrixRow): string {
  const more = addedBits(row);
  const uniform = row.cells.find(({ averageBits }) => averageBits !== null)?.averageBits?.uniform;
  return more === null || uniform === undefined ? '–' : (uniform + more).toFixed(3);
}

export const isMixed = (row: MatrixRow): boolean => addedBits(row) !== null;

export function heading({ metric, name }: MatrixColumn, strings: MatrixStrings): string {
  return fill(strings[metric], name);
}

/** Why numbers are missing, row by row. Cells that only wait need no words: the table shows them. */
export function notesOf({ rows }: MatrixTable, strings: MatrixStrings): string[] {
  return rows.flatMap(({ title, bits, cells }) => {
    const without = cells.filter(({ message }) => message !== null);
    const message = without[0]?.message ?? null;
    if (message === null) return [];
    const reason =
      without.length === cells.length
        ? message
        : fill(strings.someSeeds, without.length, cells.length, message);
    return [fill(strings.note, title, bits, reason)];
  });
}
