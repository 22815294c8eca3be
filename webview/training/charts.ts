import { fill } from '../../src/protocol/panels/fill.ts';
import type { RunCurves } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { ChartModel, Row } from '../shared/chart-model.ts';
import { type AxisKind, type Domain, logTicks, stableDomain } from '../shared/domain.ts';
import type { Theme } from '../shared/theme.ts';
import type { ChartDefinition } from './definitions.ts';
import { isUsed, readout, summary } from './readouts.ts';
import { trainingSpec } from './spec.ts';
import { type CurveView, placesOf, WHOLE, type XAxis, xAxisOf } from './view.ts';

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
  readonly view?: CurveView;
  /** Lines that are not drawn, by their names. */
  readonly hidden?: readonly string[];
}

/** One training chart from the curves of all runs shown. */
export function trainingChart(input: ChartInput): TrainingChart {
  const { definition, strings, theme, previous, view = WHOLE, hidden = [] } = input;
  const curves = curvesOf(input.curves, definition);
  const drawn = curves.filter(({ mark }) => !view.hidden.includes(mark));
  const lines = definition.series.filter(({ id }) => !hidden.includes(id));
  const axis = xAxisOf(input.curves, view, strings);
  const kind = axisKind(definition, view);
  const own = input.curves[0]?.mark;
  const build = (some: readonly RunCurves[]) => rows({ kind, lines }, some, axis);
  const steps = build(drawn.filter(({ mark }) => mark === own));
  const others = build(drawn.filter(({ mark }) => mark !== own));
  const domain = stableDomain(valuesIn([...steps, ...others], view.zoom), previous, kind);
  const gaps = definition.id === 'loss' ? gapPlaces(drawn, axis) : [];
  const isSeveral = curves.length > 1;
  const [from, to] = axis.domain;
  const endsIn = ends({ kind, lines }, drawn, axis).filter(({ step }) => step >= from && step <= to);
  return {
    domain,
    model: {
      spec: trainingSpec(definition, kind, theme),
      data: {
        steps,
        others,
        // The run itself comes last: on top, and its new step at the end.
        trend: definition.id === 'loss' ? drawn.toReversed().flatMap((run) => trend(run, kind, axis)) : [],
        ends: labelled(endsIn, domain, kind, to - from, isSeveral),
        rules: clipRule(definition, curves, domain),
        gaps: gaps.map(({ place }) => ({ step: place })),
      },
      signals: {
        xMin: from,
        xMax: axis.ticks.at(-1) ?? to,
        xEnd: isSeveral && view.zoom === null ? from + LETTER_ROOM * (to - from) : to,
        xTicks: axis.ticks,
        wordBefore: axis.words[0],
        wordBehind: axis.words[1],
        yMin: domain[0],
        yMax: domain[1],
        ...(kind === 'log' && { yTicks: logTicks(domain) }),
      },
      summary: summary(definition, curves, strings),
      readout: readout(definition, curves, strings, null),
      note: gapNote(
        gaps.map(({ step }) => step),
        strings,
      ),
    },
  };
}

/** The runs of a chart: losses of different objectives have no axis in common. */
export function curvesOf(curves: readonly RunCurves[], { objective }: ChartDefinition): readonly RunCurves[] {
  return objective === undefined ? curves : curves.filter((curve) => curve.objective === objective);
}

export function axisKind({ id, axis }: ChartDefinition, { logLoss }: CurveView): AxisKind {
  return id === 'loss' && logLoss ? 'log' : axis;
}

interface Lines {
  readonly kind: AxisKind;
  readonly lines: ChartDefinition['series'];
}

type Places = Pick<XAxis, 'secondsOf'>;

function valuesIn(all: readonly Row[], zoom: Domain | null): number[] {
  const inside = ({ step }: Row) =>
    zoom === null || ((step as number) >= zoom[0] && (step as number) <= zoom[1]);
  return all.filter(inside).map(({ value }) => value as number);
}

/**
 * Step by step, so that a new step is only a few rows at the end. Where a line has a gap, its next piece begins: pieces
 * are not joined.
 */
function rows({ kind, lines }: Lines, curves: readonly RunCurves[], axis: Places): Row[] {
  return curves.flatMap((curve) => {
    const { mark, steps } = curve;
    const used = lines.filter(({ column }) => isUsed(steps, column));
    const pieces = used.map(() => 0);
    return placesOf(curve, axis).flatMap((step, index) =>
      used.flatMap(({ id, column }, line) => {
        const value = drawable(steps[column][index]!, kind);
        if (value === null) pieces[line]! += 1;
        return value === null ? [] : [{ run: mark, series: id, piece: pieces[line]!, step, value }];
      }),
    );
  });
}

/** The mean over each step and those before it; what is not a number begins it again. */
function trend(curve: RunCurves, kind: AxisKind, axis: Places): Row[] {
  const { mark, steps } = curve;
  let piece = 0;
  return placesOf(curve, axis).flatMap((step, index) => {
    if (steps.loss[index] === null) piece++;
    const value = drawable(steps.trend[index]!, kind);
    return value === null ? [] : [{ run: mark, series: 'value', piece, step, value }];
  });
}

/** A log axis has no place for zero. */
function drawable(value: number | null, kind: AxisKind): number | null {
  return value !== null && kind === 'log' && value <= 0 ? null : value;
}

interface End {
  readonly run: string;
  readonly series: string;
  readonly step: number;
  readonly value: number;
}

/** The last point of each line. */
function ends({ kind, lines }: Lines, curves: readonly RunCurves[], axis: Places): End[] {
  return curves.flatMap((curve) =>
    lines.flatMap(({ id, column }) => {
      const values = curve.steps[column];
      const index = values.findLastIndex((value) => drawable(value, kind) !== null);
      if (index < 0) return [];
      return [{ run: curve.mark, series: id, step: placesOf(curve, axis)[index]!, value: values[index]! }];
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
  axis: AxisKind,
  width: number,
  several: boolean,
): Row[] {
  const share = (value: number): number =>
    axis === 'log' ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
  const near = (a: End, b: End): boolean =>
    Math.abs(share(a.value) - share(b.value)) < NEAR_Y && Math.abs(a.step - b.step) / width < NEAR_X;
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

interface Gap {
  readonly step: number;
  readonly place: number;
}

/** Steps of any run whose loss is not a number. */
function gapPlaces(curves: readonly RunCurves[], axis: Places): Gap[] {
  const gaps = new Map<number, Gap>();
  for (const curve of curves) {
    const places = placesOf(curve, axis);
    curve.steps.loss.forEach((loss, index) => {
      const step = curve.steps.step[index]!;
      if (loss === null) gaps.set(step, { step, place: places[index]! });
    });
  }
  return [...gaps.values()].sort((a, b) => a.step - b.step);
}

function gapNote(gaps: readonly number[], strings: TrainingStrings): string {
  if (gaps.length === 0) return '';
  return gaps.length === 1
    ? fill(strings.lossGap, gaps[0]!)
    : fill(strings.lossGaps, gaps.length, gaps[0]!, gaps.at(-1)!);
}
