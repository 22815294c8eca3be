/** Values over seeds, and which of several is the least beyond doubt. */

export interface Spread {
  readonly mean: number;
  /** Sample standard deviation; null for one value. */
  readonly deviation: number | null;
  readonly min: number;
  readonly max: number;
  readonly n: number;
}

/** Sample standard deviation. @param values at least one. */
export function spreadOf(values: readonly number[]): Spread {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = n > 1 ? Math.sqrt(squares / (n - 1)) : null;
  return { mean, deviation, min: Math.min(...values), max: Math.max(...values), n };
}

/** How near another value may come before nobody can tell the two apart. */
export interface Margin {
  readonly size: number;
  readonly of: 'spread' | 'questions';
}

/**
 * Why none of several is the best: another comes nearer than the spread over seeds, or than the standard error of the
 * questions; two are equal; or the first is one draw of something that draws.
 */
export type Doubt = Margin['of'] | 'equal' | 'draw';

export interface Contender {
  /** Less is better. */
  readonly cost: number;
  readonly margin: Margin;
  /** True for the only draw of what depends on seeds: its spread is unknown. */
  readonly isDraw: boolean;
}

/**
 * The best of several: the one that no other comes near by the larger margin of the two.
 * @returns null where there are fewer than two and none can be the best.
 */
export function clearlyBest<C extends Contender>(
  all: readonly C[],
): { readonly best: C } | { readonly doubt: Doubt } | null {
  const [first, ...others] = all.toSorted((a, b) => (a.cost === b.cost ? 0 : a.cost - b.cost));
  if (!first) return null;
  if (first.isDraw) return others.length === 0 ? null : { doubt: 'draw' };
  for (const { cost, margin } of others) {
    const larger = margin.size > first.margin.size ? margin : first.margin;
    // Infinities have no distance.
    if (!(cost - first.cost > larger.size)) return { doubt: larger.size === 0 ? 'equal' : larger.of };
  }
  return { best: first };
}
