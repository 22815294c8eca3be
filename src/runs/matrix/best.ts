/** Which row is the best of its bits, and why none is. */
import { FULL_PRECISION_ROW } from '../../config/index.ts';
import { clearlyBest, type Doubt, type Margin, type Spread } from '../../protocol/spread.ts';
import type { TableCell } from './collect.ts';
import type { Measured, Metric } from './measured.ts';

/** What is compared of a row. */
export interface Compared {
  readonly bits: string;
  readonly method: string;
  readonly cells: readonly TableCell[];
  /** For each column; null where nothing is measured yet. */
  readonly values: readonly (Spread | null)[];
  /** For each column. */
  readonly margins: readonly Margin[];
}

/**
 * The larger of the spread and the standard error of the questions, which seeds do not make smaller: they ask the same
 * ones. That of a single question is not known.
 */
export function marginOf(ones: readonly Measured[], deviation: number): Margin {
  const errors = ones
    .filter(({ metric }) => metric !== 'perplexity')
    .map(({ standardError }) => standardError ?? Number.POSITIVE_INFINITY);
  const error = Math.max(0, ...errors);
  return error > deviation ? { size: error, of: 'questions' } : { size: deviation, of: 'spread' };
}

/**
 * The best of the rows of one setting of bits in a column: the row that no other comes near by the larger margin of the
 * two. One draw of a seeded row has an unknown spread.
 * @returns null where fewer than two rows are measured and none can be the best.
 */
export function bestOf<R extends Compared>(
  rows: readonly R[],
  at: number,
  { metric }: Metric,
): { readonly row: R } | { readonly doubt: Doubt } | null {
  const sign = metric === 'perplexity' ? 1 : -1;
  const measured = rows.flatMap((row) => {
    const value = row.method === FULL_PRECISION_ROW.name ? null : row.values[at];
    if (!value) return [];
    const margin = row.margins[at] ?? { size: 0, of: 'spread' as const };
    const isDraw = value.deviation === null && row.cells.some(({ seeded }) => seeded);
    return [{ row, cost: sign * value.mean, margin, isDraw }];
  });
  const found = clearlyBest(measured);
  return found && 'best' in found ? { row: found.best.row } : found;
}
