/** Which row is the best of its bits, and why none is. */
import { FULL_PRECISION_ROW } from '../../config/index.ts';
import type { TableCell } from './collect.ts';
import type { Measured, Metric } from './measured.ts';

/** Values over seeds. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation; null for one value. */
  readonly deviation: number | null;
  readonly min: number;
  readonly max: number;
  readonly n: number;
}

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

/** How near another value may come before nobody can tell the two apart. */
interface Margin {
  readonly size: number;
  readonly of: 'spread' | 'questions';
}

/**
 * Why no row of a setting of bits is the best: another comes nearer than the spread over seeds, or than the standard
 * error of the questions; two are equal; or the first is one draw of a row that draws.
 */
export type Doubt = Margin['of'] | 'equal' | 'draw';

/** Sample standard deviation. @param values at least one. */
export function spreadOf(values: readonly number[]): Spread {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = n > 1 ? Math.sqrt(squares / (n - 1)) : null;
  return { mean, deviation, min: Math.min(...values), max: Math.max(...values), n };
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
    return value ? [{ row, value, margin: row.margins[at] ?? { size: 0, of: 'spread' } }] : [];
  });
  const [first, ...others] = measured.sort((a, b) => sign * (a.value.mean - b.value.mean));
  if (!first) return null;
  if (first.value.deviation === null && first.row.cells.some(({ seeded }) => seeded))
    return others.length === 0 ? null : { doubt: 'draw' };
  for (const { value, margin } of others) {
    const distance = sign * (value.mean - first.value.mean);
    const larger = margin.size > first.margin.size ? margin : first.margin;
    // Infinities have no distance.
    if (!(distance > larger.size)) return { doubt: larger.size === 0 ? 'equal' : larger.of };
  }
  return { row: first.row };
}
