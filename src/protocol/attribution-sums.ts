/** What is read off an attribution of the loss: its measures and their sums. */
import { ROUNDED_PARTS, type RoundedPart } from './block.ts';

/** What rounding one part of one layer costs, in nats per predicted token. */
export interface AttributedCell {
  readonly layer: number;
  readonly part: RoundedPart;
  readonly bits: number;
  /** If this alone is rounded, estimated. */
  readonly rise: number;
  /** Of the whole rise. */
  readonly share: number;
  /** By switching this rounding alone: on at full precision, off in the quantized network. */
  readonly measured?: { readonly rise: number; readonly fall: number };
}

interface Attributed {
  readonly cells: readonly AttributedCell[];
}

/** A measure of a cell in nats per token. */
export type AttributionMeasure = 'rise' | 'share' | 'measured rise' | 'measured fall';

/** NaN where it was not measured. */
export function measureOf(cell: AttributedCell, measure: AttributionMeasure): number {
  if (measure === 'rise' || measure === 'share') return cell[measure];
  return cell.measured?.[measure === 'measured rise' ? 'rise' : 'fall'] ?? Number.NaN;
}

/** By part, in the order of the data flow; parts that nothing rounds are left out. */
export function sumsByPart(
  { cells }: Attributed,
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
export function sumsByLayer({ cells }: Attributed, measure: AttributionMeasure): number[] {
  const layers = Math.max(-1, ...cells.map(({ layer }) => layer)) + 1;
  return Array.from({ length: layers }, (_, layer) =>
    sumOf(
      cells.filter((cell) => cell.layer === layer),
      measure,
    ),
  );
}

export function sumOf(cells: readonly AttributedCell[], measure: AttributionMeasure): number {
  return cells.reduce((sum, cell) => sum + measureOf(cell, measure), 0);
}
