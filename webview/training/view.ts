/** The choices of a person that all curves share, and the x axis that follows from them. */
import type { RunCurves } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { type Domain, linearTicks, stepTicks } from '../shared/domain.ts';

export interface CurveView {
  readonly x: 'step' | 'time';
  /** The part of the x axis that is shown, in its unit; null for all. */
  readonly zoom: Domain | null;
  readonly logLoss: boolean;
  /** Marks of runs that are not drawn. */
  readonly hidden: readonly string[];
}

export const WHOLE: CurveView = { x: 'step', zoom: null, logLoss: false, hidden: [] };

/** The x axis of all charts. */
export interface XAxis {
  /** The part that is shown. */
  readonly domain: Domain;
  readonly ticks: readonly number[];
  /** Written before and behind the last label. */
  readonly words: readonly [before: string, behind: string];
  /** Seconds of one unit; null where steps are counted. */
  readonly secondsOf: number | null;
}

const UNITS = [
  [1, 'seconds'],
  [60, 'minutes'],
  [3600, 'hours'],
] as const;
/** A unit is taken from so many of it on. */
const ENOUGH = 3;

export function xAxisOf(curves: readonly RunCurves[], view: CurveView, strings: TrainingStrings): XAxis {
  if (view.x === 'step') {
    const last = Math.max(2, ...curves.map(({ of }) => of));
    const domain = view.zoom ?? [1, last];
    const ticks = view.zoom ? wholeTicks(domain) : stepTicks(last);
    return { domain, ticks, words: [`${strings.step} `, ''], secondsOf: null };
  }
  const seconds = Math.max(1, ...curves.map(secondsOf));
  const [size, name] = UNITS.findLast(([one]) => seconds >= ENOUGH * one) ?? UNITS[0];
  const domain = view.zoom ?? [0, seconds / size];
  return { domain, ticks: linearTicks(domain), words: ['', ` ${strings.timeUnits[name]}`], secondsOf: size };
}

/** Of a run at work the time that all of its steps will take: the axis stands still meanwhile. */
function secondsOf({ of, steps }: RunCurves): number {
  const [step, elapsed] = [steps.step.at(-1) ?? 0, steps.elapsed.at(-1) ?? 0];
  return step > 0 ? (elapsed * Math.max(of, step)) / step : 0;
}

const wholeTicks = (domain: Domain) => linearTicks(domain).filter((tick) => Number.isInteger(tick));

/** Places of the steps of a run on the x axis. */
export function placesOf(
  { steps }: RunCurves,
  { secondsOf: size }: Pick<XAxis, 'secondsOf'>,
): readonly number[] {
  return size === null ? steps.step : steps.elapsed.map((seconds) => (seconds ?? 0) / size);
}

/** The row nearest to a place; -1 beyond both ends, where a run has none. */
export function rowAt(places: readonly number[], place: number): number {
  const [first, last] = [places[0], places.at(-1)];
  if (first === undefined || last === undefined || place < first - 0.5 || place > last + 0.5) return -1;
  let [low, high] = [0, places.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle]! < place) low = middle + 1;
    else high = middle;
  }
  return low > 0 && place - places[low - 1]! <= places[low]! - place ? low - 1 : low;
}
