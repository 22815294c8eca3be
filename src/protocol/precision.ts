/** Precisions of what an evaluation multiplies beside codes: see `evaluation.precision` of an experiment. */
export const EVALUATION_PRECISIONS = ['float32', 'bfloat16x2', 'bfloat16'] as const;
export type EvaluationPrecision = (typeof EVALUATION_PRECISIONS)[number];

/** Results tell a precision that is not float32. */
export interface MeasuredAt {
  /** The precision of products beside those of codes; absent for float32. */
  readonly precision?: EvaluationPrecision | undefined;
}

/** What results and keys tell of a precision: those of float32 are as they were before there was a choice. */
export function measuredAt(precision: EvaluationPrecision): MeasuredAt {
  return precision === 'float32' ? {} : { precision };
}

/** One sentence on numbers that were measured in bfloat16; null where all were in float32. */
export function precisionNote(results: readonly MeasuredAt[]): string | null {
  const found = [...new Set(results.flatMap(({ precision }) => precision ?? []))];
  return found.length === 0 ? null : `Products beside those of codes were computed in ${found.join(', ')}.`;
}
