import type { StepColumns, VerdictKind } from '../../../protocol/panels/training.ts';

export type VerdictReason =
  | { readonly code: 'no-steps' }
  | { readonly code: 'few-steps'; readonly steps: number; readonly needed: number }
  | { readonly code: 'falling'; readonly percent: number; readonly steps: number }
  | { readonly code: 'settled'; readonly percent: number; readonly steps: number }
  | { readonly code: 'flat'; readonly percent: number; readonly steps: number }
  /** The least change that the noise between batches would let through. */
  | { readonly code: 'noisy'; readonly visiblePercent: number }
  | {
      readonly code: 'flat-capped';
      readonly percent: number;
      readonly steps: number;
      readonly ofRate: number;
    }
  | { readonly code: 'flat-still'; readonly percent: number; readonly steps: number }
  | { readonly code: 'rising'; readonly percent: number; readonly bestStep: number }
  | { readonly code: 'not-a-number'; readonly step: number }
  | { readonly code: 'off-manifold'; readonly error: number };

export interface Verdict {
  readonly kind: VerdictKind;
  readonly reason: VerdictReason;
}

/** Below this many steps the noise between batches hides any trend. */
export const STEPS_NEEDED = 8;
/** float32 drift stays near 1e-5 over hundreds of steps; a hundred times that is not a rotation any more. */
const ORTHOGONALITY_LIMIT = 1e-3;
/** A difference of two means counts when it exceeds this many standard errors. */
const SIGNIFICANT = 3;
/** Rises and falls below this share of the loss are of no interest, however significant. */
const RELEVANT = 0.005;
/** Percent of the loss that learned rotations may well gain: noise that hides more leaves the question open. */
const WORTH_HAVING = 3;
/** A cap at less than this share of the learning rate in every recent step decides the step size alone. */
const CAPPED = 0.1;
/** Relative distance below which a rotation still is where it started. */
const STILL = 1e-3;
/** Share of the first learning rate under which the schedule, not the loss, ends the movement. */
const SCHEDULE_END = 0.2;

/**
 * Judges whether a run learns; what hurts most comes first: not a number, not a rotation, rising, falling, level.
 *
 * The loss of a step belongs to its own batch, so it carries noise σ. The differences of neighbours estimate it robustly:
 * σ = 1.4826·median|yᵢ₊₁ − yᵢ|/√2. Means over k steps have the standard error σ/√k; the first, the last
 * and the best k are compared.
 */
export function judgeTraining(steps: StepColumns): Verdict {
  const count = steps.step.length;
  if (count === 0) return { kind: 'too-early', reason: { code: 'no-steps' } };
  const broken = steps.loss.indexOf(null);
  if (broken >= 0) return { kind: 'diverging', reason: { code: 'not-a-number', step: steps.step[broken]! } };
  const error = largestOf(steps.orthogonalityError);
  if (error > ORTHOGONALITY_LIMIT) return { kind: 'diverging', reason: { code: 'off-manifold', error } };
  if (count < STEPS_NEEDED)
    return { kind: 'too-early', reason: { code: 'few-steps', steps: count, needed: STEPS_NEEDED } };
  return judgeTrend(steps, steps.loss as readonly number[]);
}

function judgeTrend(steps: StepColumns, loss: readonly number[]): Verdict {
  const width = Math.max(3, Math.floor(loss.length / 10));
  const means = movingMeans(loss, width);
  const [first, last] = [means[0]!, means.at(-1)!];
  const bestIndex = means.reduce((best, mean, index) => (mean < means[best]! ? index : best), 0);
  const best = means[bestIndex]!;
  const threshold = Math.max(SIGNIFICANT * noiseOf(loss) * Math.sqrt(2 / width), RELEVANT * Math.abs(first));
  const done = steps.step.at(-1)!;
  // The best of many means is low by luck alone: twice the threshold, against the best and against the start.
  if (last - best > 2 * threshold && last - first > -threshold) {
    const bestStep = steps.step[bestIndex + (width >> 1)]!;
    return { kind: 'diverging', reason: { code: 'rising', percent: percentOf(last - best, best), bestStep } };
  }
  const percent = percentOf(first - last, first);
  if (first - last > threshold) {
    const settled = isScheduleOver(steps) && Math.abs(middleOf(means) - last) <= threshold;
    return settled
      ? { kind: 'settled', reason: { code: 'settled', percent, steps: done } }
      : { kind: 'converging', reason: { code: 'falling', percent, steps: done } };
  }
  return judgeFlat(steps, Math.abs(percent), percentOf(threshold, first), width);
}

/** A level loss has stalled when there is a reason for it, or when a change worth having would have been seen. */
function judgeFlat(steps: StepColumns, percent: number, visiblePercent: number, recent: number): Verdict {
  const done = steps.step.at(-1)!;
  const shares = steps.learningRate
    .slice(-recent)
    .map((rate, index) => largestCap(steps, steps.step.length - recent + index) / (rate ?? Number.NaN));
  const worst = Math.max(...shares);
  if (worst < CAPPED)
    return {
      kind: 'stalled',
      reason: { code: 'flat-capped', percent, steps: done, ofRate: 100 * worst },
    };
  const moved = Math.max(steps.distanceR1.at(-1) ?? 0, steps.distanceR2.at(-1) ?? 0);
  if (moved < STILL) return { kind: 'stalled', reason: { code: 'flat-still', percent, steps: done } };
  return visiblePercent > WORTH_HAVING
    ? { kind: 'unclear', reason: { code: 'noisy', visiblePercent } }
    : { kind: 'stalled', reason: { code: 'flat', percent, steps: done } };
}

/** The largest step that any rotation may take; infinite where no cap was recorded. */
function largestCap(steps: StepColumns, index: number): number {
  const caps = [steps.stepCapR1[index], steps.stepCapR2[index]].filter((cap) => typeof cap === 'number');
  return caps.length > 0 ? Math.max(...caps) : Number.POSITIVE_INFINITY;
}

function isScheduleOver(steps: StepColumns): boolean {
  const [first, last] = [steps.learningRate[0], steps.learningRate.at(-1)];
  return typeof first === 'number' && typeof last === 'number' && last < SCHEDULE_END * first;
}

/** The mean that ends where the last quarter begins. */
function middleOf(means: readonly number[]): number {
  return means[Math.floor(means.length * 0.75)]!;
}

function movingMeans(values: readonly number[], width: number): number[] {
  const sums = [0];
  for (const value of values) sums.push(sums.at(-1)! + value);
  return Array.from(
    { length: values.length - width + 1 },
    (_, start) => (sums[start + width]! - sums[start]!) / width,
  );
}

/** Infinite where one is not a number. */
function largestOf(values: readonly (number | null)[]): number {
  return values.reduce<number>((most, value) => Math.max(most, value ?? Infinity), -Infinity);
}

/** σ of one value, from the differences of neighbours: a trend hardly touches it. */
function noiseOf(values: readonly number[]): number {
  const jumps = values.slice(1).map((value, index) => Math.abs(value - values[index]!));
  jumps.sort((a, b) => a - b);
  return (1.4826 * jumps[jumps.length >> 1]!) / Math.SQRT2;
}

function percentOf(change: number, base: number): number {
  return (100 * change) / Math.abs(base);
}
