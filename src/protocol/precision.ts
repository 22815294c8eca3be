/** Precisions of what an evaluation multiplies beside codes: see `evaluation.precision` of an experiment. */
export const EVALUATION_PRECISIONS = ['float32', 'bfloat16x2', 'bfloat16'] as const;
export type EvaluationPrecision = (typeof EVALUATION_PRECISIONS)[number];

/** Results tell a precision that is not float32. */
export interface MeasuredAt {
  readonly precision?: EvaluationPrecision | undefined;
}

/** One sentence on numbers that were measured in bfloat16; null where all were in float32. */
export function precisionNote(results: readonly MeasuredAt[]): string | null {
  const found = [...new Set(results.flatMap(({ precision }) => precision ?? []))];
  return found.length === 0 ? null : `Products beside those of codes were computed in ${found.join(', ')}.`;
}
