/** What is read off an attribution: sums, and how well estimates agree with measurements. */
import { ROUNDED_PARTS, type RoundedPart } from '../protocol/block.ts';
import type { AttributionCell, AttributionFile } from './attribution.ts';

/** A measure of a cell in nats per token. */
export type AttributionMeasure = 'rise' | 'share' | 'measured rise' | 'measured fall';

/** NaN where it was not measured. */
export function measureOf(cell: AttributionCell, measure: AttributionMeasure): number {
  if (measure === 'rise' || measure === 'share') return cell[measure];
  return cell.measured?.[measure === 'measured rise' ? 'rise' : 'fall'] ?? Number.NaN;
}

/** By part, in the order of the data flow; parts that nothing rounds are left out. */
export function sumsByPart(
  { cells }: Pick<AttributionFile, 'cells'>,
  measure: AttributionMeasure,
): { readonly part: RoundedPart; readonly sum: number }[] {
  return ROUNDED_PARTS.filter((part) => cells.some((cell) => cell.part === part)).map((part) => ({
    part,
    sum: sumOf(
      cells.filter((cell) => cell.part === part),
      measure,
    ),
  }));
}

/** By layer. */
export function sumsByLayer(
  { cells }: Pick<AttributionFile, 'cells'>,
  measure: AttributionMeasure,
): number[] {
  const layers = Math.max(-1, ...cells.map(({ layer }) => layer)) + 1;
  return Array.from({ length: layers }, (_, layer) =>
    sumOf(
      cells.filter((cell) => cell.layer === layer),
      measure,
    ),
  );
}

export function sumOf(cells: readonly AttributionCell[], measure: AttributionMeasure): number {
  return cells.reduce((sum, cell) => sum + measureOf(cell, measure), 0);
}

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
