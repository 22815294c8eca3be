/** How well estimates agree with measurements. */

/** Pearson's correlation, and Spearman's of ranks. Zero where one of both does not vary. */
export function correlations(
  a: readonly number[],
  b: readonly number[],
): { readonly linear: number; readonly rank: number } {
  return { linear: correlation(a, b), rank: correlation(ranksOf(a), ranksOf(b)) };
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [meanOf(a), meanOf(b)];
  let [together, ofA, ofB] = [0, 0, 0];
  for (const [index, value] of a.entries()) {
    const [x, y] = [value - meanA, (b[index] ?? 0) - meanB];
    together += x * y;
    ofA += x * x;
    ofB += y * y;
  }
  return ofA > 0 && ofB > 0 ? together / Math.sqrt(ofA * ofB) : 0;
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** Equal values share the mean of their ranks. */
function ranksOf(values: readonly number[]): number[] {
  const sorted = [...values].sort((x, y) => x - y);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2);
}
