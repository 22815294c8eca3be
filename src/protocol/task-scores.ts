/** Accuracy on the questions of a zero-shot task. */

/** A share of questions, 0 to 1. */
export interface Share {
  readonly value: number;
  /** √(p (1 − p) / (n − 1)), the standard error of the mean of n yes-or-no results; null for a single question. */
  readonly standardError: number | null;
}

export interface TaskScores {
  /** The right choice has the largest log-likelihood. */
  readonly acc: Share;
  /** The same after division by the length of each choice in bytes; null for tasks that have no such metric. */
  readonly accNorm: Share | null;
}

/** A metric of {@link TaskScores}, as lm-evaluation-harness and tables name it. */
export const METRIC_NAMES = { acc: 'acc', accNorm: 'acc_norm' } as const satisfies Record<
  keyof TaskScores,
  string
>;

/** Returns the share that enters the mean over tasks: acc_norm where there is one, else acc, as QuaRot counts. */
export function countedShare({ acc, accNorm }: TaskScores): Share {
  return accNorm ?? acc;
}

/** @param hits of `questions` questions. */
export function shareOf(hits: number, questions: number): Share {
  const value = hits / questions;
  return { value, standardError: questions > 1 ? Math.sqrt((value * (1 - value)) / (questions - 1)) : null };
}

/** `52.5 % ± 3.5`, or without its error `52.5 %`. */
export function formatShare({ value, standardError }: Share): string {
  const percent = `${(100 * value).toFixed(1)} %`;
  return standardError === null ? percent : `${percent} ± ${(100 * standardError).toFixed(1)}`;
}
