import { fill } from '../../src/protocol/panels/fill.ts';
import type { RunCurves } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { ChartModel, Row } from '../shared/chart-model.ts';
import { type Domain, logTicks, stableDomain, stepTicks } from '../shared/domain.ts';
import type { Theme } from '../shared/theme.ts';
import type { ChartDefinition } from './definitions.ts';
import { isUsed, readout, summary } from './readouts.ts';
import { trainingSpec } from './spec.ts';

export interface TrainingChart {
  readonly model: ChartModel;
  /** Given back at the next state, so that the axis stays where it is. */
  readonly domain: Domain;
}

export interface ChartInput {
  readonly definition: ChartDefinition;
  /** The run itself, then the overlays. */
  readonly curves: readonly RunCurves[];
  readonly strings: TrainingStrings;
  readonly theme: Theme;
  readonly previous: Domain | null;
}

/** One training chart from the curves of all runs shown. */
export function trainingChart({ definition, curves, strings, theme, previous }: ChartInput): TrainingChart {
  const steps = rows(definition, curves.slice(0, 1));
  const others = rows(definition, curves.slice(1));
  const values = [...steps, ...others].map(({ value }) => value as number);
  const domain = stableDomain(values, previous, definition.axis);
  const xMax = Math.max(2, ...curves.map(({ of }) => of));
  const gaps = definition.id === 'loss' ? gapSteps(curves) : [];
  return {
    domain,
    model: {
      spec: trainingSpec(definition, theme),
      data: {
        steps,
        others,
        // The run itself comes last: on top, and its new step at the end.
        trend: definition.id === 'loss' ? curves.toReversed().flatMap(trend) : [],
        ends: labelled(ends(definition, curves), domain, definition.axis, xMax, curves.length > 1),
        rules: clipRule(definition, curves, domain),
        gaps: gaps.map((step) => ({ step })),
      },
      signals: {
        xMax,
        xEnd: curves.length > 1 ? LETTER_ROOM * xMax : xMax,
        xTicks: stepTicks(xMax),
        stepWord: strings.step,
        yMin: domain[0],
        yMax: domain[1],
        ...(definition.axis === 'log' && { yTicks: logTicks(domain) }),
      },
      summary: summary(definition, curves, strings),
      readout: readout(definition, curves, strings, null),
      note: gapNote(gaps, strings),
    },
  };
}

/**
 * Step by step, so that a new step is only a few rows at the end. Where a line has a gap, its next piece begins: pieces
 * are not joined.
 */
function rows({ axis, series }: ChartDefinition, curves: readonly RunCurves[]): Row[] {
  return curves.flatMap(({ mark, steps }) => {
    const used = series.filter(({ column }) => isUsed(steps, column));
    const pieces = used.map(() => 0);
    return steps.step.flatMap((step, index) =>
      used.flatMap(({ id, column }, line) => {
        const value = drawable(steps[column][index]!, axis);
        if (value === null) pieces[line]! += 1;
        return value === null ? [] : [{ run: mark, series: id, piece: pieces[line]!, step, value }];
      }),
    );
  });
}

/** Steps that the bold line of the loss is a mean of: batches differ more than steps do. */
export const TREND_STEPS = 10;

/** The mean over each step and those before it, from the third on; what is not a number begins it again. */
function trend({ mark, steps: { step, loss } }: RunCurves): Row[] {
  let piece = 0;
  let recent: number[] = [];
  return step.flatMap((number, index) => {
    const value = loss[index]!;
    if (value === null) {
      piece++;
      recent = [];
      return [];
    }
    recent = [...recent, value].slice(-TREND_STEPS);
    if (recent.length < 3) return [];
    const mean = recent.reduce((sum, one) => sum + one, 0) / recent.length;
    return [{ run: mark, series: 'value', piece, step: number, value: mean }];
  });
}

/** A log axis has no place for zero. */
function drawable(value: number | null, axis: ChartDefinition['axis']): number | null {
  return value !== null && axis === 'log' && value <= 0 ? null : value;
}

interface End {
  readonly run: string;
  readonly series: string;
  readonly step: number;
  readonly value: number;
}

/** The last point of each line. */
function ends({ axis, series }: ChartDefinition, curves: readonly RunCurves[]): End[] {
  return curves.flatMap(({ mark, steps }) =>
    series.flatMap(({ id, column }) => {
      const index = steps[column].findLastIndex((value) => drawable(value, axis) !== null);
      if (index < 0) return [];
      return [{ run: mark, series: id, step: steps.step[index]!, value: steps[column][index]! }];
    }),
  );
}

/** Letters at the ends of several runs stand inside the axes, so that the axes keep their width. */
const LETTER_ROOM = 1.16;
/** Ends nearer than these shares of the axes would write their letters over each other. */
const NEAR_Y = 0.085;
const NEAR_X = 0.07;

/** Letters at the ends of the lines when there are several runs; ends at one place share one label: `B C`. */
function labelled(
  points: readonly End[],
  [from, to]: Domain,
  axis: ChartDefinition['axis'],
  xMax: number,
  several: boolean,
): Row[] {
  const share = (value: number): number =>
    axis === 'log' ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
  const near = (a: End, b: End): boolean =>
    Math.abs(share(a.value) - share(b.value)) < NEAR_Y && Math.abs(a.step - b.step) / xMax < NEAR_X;
  const taken = new Set<End>();
  return points.map((point) => {
    const together =
      several && !taken.has(point) ? points.filter((other) => !taken.has(other) && near(point, other)) : [];
    for (const other of together) taken.add(other);
    return { ...point, label: [...new Set(together.map(({ run }) => run))].sort().join(' ') };
  });
}

/** The line that cuts the gradient off, as long as it is in sight. */
function clipRule({ id }: ChartDefinition, curves: readonly RunCurves[], domain: Domain): Row[] {
  const clip = id === 'gradient' ? (curves[0]?.gradientClip ?? null) : null;
  return clip === null || clip > domain[1] ? [] : [{ value: clip }];
}

/** Steps of any run whose loss is not a number. */
function gapSteps(curves: readonly RunCurves[]): number[] {
  const steps = curves.flatMap(({ steps: { step, loss } }) =>
    step.filter((_, index) => loss[index] === null),
  );
  return [...new Set(steps)].sort((a, b) => a - b);
}

function gapNote(gaps: readonly number[], strings: TrainingStrings): string {
  if (gaps.length === 0) return '';
  return gaps.length === 1
    ? fill(strings.lossGap, gaps[0]!)
    : fill(strings.lossGaps, gaps.length, gaps[0]!, gaps.at(-1)!);
}
