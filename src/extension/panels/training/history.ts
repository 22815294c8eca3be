import type { StepEvent } from '../../../protocol/events.ts';
import type { StepColumns } from '../../../protocol/panels/training.ts';
import type { RunHistory } from '../../../runs/index.ts';
import { finite } from '../finite.ts';

/** Points in a line that a panel beside a text can show apart; longer runs are thinned out. */
const MAX_POINTS = 600;
/** A mean of fewer steps says no more than they do. */
const LEAST_MEAN = 3;

type Column = readonly (number | null)[];

/** All steps as columns. JSON writes numbers that are not finite as null: so do we. */
export function stepColumns(steps: readonly StepEvent[], smoothing: number): StepColumns {
  const column = (value: (step: StepEvent) => number | null) => steps.map((step) => finite(value(step)));
  const loss = column((one) => one.loss);
  const seconds = column((one) => one.seconds);
  return {
    step: steps.map(({ step }) => step),
    loss,
    trend: meansOf(loss, smoothing),
    elapsed: sumsOf(seconds),
    gradientNorm: column(({ gradientNorm }) => gradientNorm),
    learningRate: column(({ learningRate }) => learningRate),
    stepCapR1: column(({ stepCap }) => stepCap.r1),
    stepCapR2: column(({ stepCap }) => stepCap.r2Max),
    orthogonalityError: column(({ orthogonalityError }) => orthogonalityError),
    distanceR1: column(({ distanceFromStart }) => distanceFromStart.r1),
    distanceR2: column(({ distanceFromStart }) => distanceFromStart.r2),
    seconds,
  };
}

interface Drawn {
  readonly count: number;
  readonly last: StepEvent | undefined;
  readonly smoothing: number;
  /** Every step. */
  readonly all: StepColumns;
  /** What can be seen of them. */
  readonly thin: StepColumns;
}

/** Histories change at their ends only: what did not is not made again. */
const drawn = new WeakMap<RunHistory, Drawn>();

/** The steps of a run as columns, made again when there is a new one. */
export function columnsOf(history: RunHistory, smoothing: number): Pick<Drawn, 'all' | 'thin'> {
  const { steps } = history;
  const known = drawn.get(history);
  const [count, last] = [steps.length, steps.at(-1)];
  if (known?.count === count && known.last === last && known.smoothing === smoothing) return known;
  const all = stepColumns(steps, smoothing);
  const made = { count, last, smoothing, all, thin: thinned(all) };
  drawn.set(history, made);
  return made;
}

/**
 * What of a long run can be told apart: of each stretch of steps the least and the largest loss, and every one that is
 * not a number. Stretches that are whole never change, so that a new step leaves the rows before it alone.
 */
export function thinned(columns: StepColumns): StepColumns {
  const { loss } = columns;
  const count = loss.length;
  if (count <= MAX_POINTS) return columns;
  const stretch = 2 ** Math.ceil(Math.log2((2 * count) / MAX_POINTS));
  const kept: number[] = [];
  for (let from = 0; from + stretch <= count; from += stretch) {
    const gaps: number[] = [];
    let [least, most] = [from, from];
    for (let index = from; index < from + stretch; index++) {
      const value = loss[index]!;
      if (value === null) gaps.push(index);
      else if (value < (loss[least] ?? Number.POSITIVE_INFINITY)) least = index;
      else if (value > (loss[most] ?? Number.NEGATIVE_INFINITY)) most = index;
    }
    kept.push(...new Set([...gaps, least, most].sort((a, b) => a - b)));
  }
  for (let index = count - (count % stretch); index < count; index++) kept.push(index);
  if (kept.at(-1) !== count - 1) kept.push(count - 1);
  return Object.fromEntries(
    Object.entries(columns).map(([name, column]: [string, Column]) => [name, kept.map((at) => column[at]!)]),
    // Every column keeps its name and its kind.
  ) as unknown as StepColumns;
}

/** Rows at the beginning of `now` that are those of `before`. */
export function rowsKept(before: StepColumns | undefined, now: StepColumns): number {
  if (before === undefined) return 0;
  const pairs = Object.keys(now).map((name) => [
    before[name as keyof StepColumns],
    now[name as keyof StepColumns],
  ]);
  const most = Math.min(before.step.length, now.step.length);
  for (let row = 0; row < most; row++) if (pairs.some(([a, b]) => a![row] !== b![row])) return row;
  return most;
}

/** The rows of columns from one on. */
export function rowsFrom(columns: StepColumns, from: number): StepColumns {
  return Object.fromEntries(
    Object.entries(columns).map(([name, column]: [string, Column]) => [name, column.slice(from)]),
    // Every column keeps its name and its kind.
  ) as unknown as StepColumns;
}

/** The mean over each value and those before it; what is not a number begins it again. */
function meansOf(values: Column, width: number): Column {
  let [sum, from] = [0, 0];
  return values.map((value, index) => {
    if (value === null) {
      [sum, from] = [0, index + 1];
      return null;
    }
    sum += value;
    if (index - from >= width) sum -= values[from++]!;
    const count = index - from + 1;
    return count < Math.min(LEAST_MEAN, width) ? null : sum / count;
  });
}

/** What is not known counts as nothing. */
function sumsOf(values: Column): Column {
  let sum = 0;
  return values.map((value) => {
    sum += value ?? 0;
    return sum;
  });
}
