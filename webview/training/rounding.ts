/** The gain of a rounding method over rounding to nearest: its chart, table and words. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { LinearErrors, RoundingErrors } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { ChartModel, Row, TableModel } from '../shared/chart-model.ts';
import { type Domain, logTicks, stableDomain } from '../shared/domain.ts';
import { formatNumber } from '../shared/format.ts';
import { layersSpec } from '../shared/layers-spec.ts';
import type { Theme } from '../shared/theme.ts';

/** Rounding to nearest, and the method of the run. */
export const SIDES = ['nearest', 'error'] as const;
type Side = (typeof SIDES)[number];

/** Errors of one row or of several, as shares. */
type Pair = Readonly<Record<Side, number | null>>;
const NO_ERRORS: Pair = { nearest: null, error: null };

export interface RoundingView {
  readonly rounding: RoundingErrors;
  /** Name of a linear layer; null for the mean of all of a block. */
  readonly linear: string | null;
  readonly strings: TrainingStrings;
}

export interface RoundingChart {
  readonly model: ChartModel;
  /** Given back at the next state, so that the axis stays where it is. */
  readonly domain: Domain;
}

export function roundingChart(view: RoundingView, theme: Theme, previous: Domain | null): RoundingChart {
  const { rounding, strings } = view;
  const rows = rounding.layer.flatMap((layer, index) => {
    const errors = errorsAt(view, index);
    return SIDES.map((side): Row => ({ layer, side, value: drawable(errors[side]) }));
  });
  const domain = stableDomain(
    rows.map(({ value }) => value as number | null),
    previous,
    'log',
  );
  return {
    domain,
    model: {
      spec: layersSpec(theme, SIDES, { log: true, labels: '~g', minExtent: 44 }),
      data: { points: rows },
      signals: {
        layerMax: rounding.layers - 0.5,
        layerWord: strings.rounding.layer,
        yMin: domain[0],
        yMax: domain[1],
        yTicks: logTicks(domain),
      },
      summary: roundingSummary(view),
      readout: roundingReadout(view, null),
      note: '',
    },
  };
}

/** `q_proj`, as checkpoints name it; or that it is the mean. */
export function linearName(linear: string | null, { rounding, strings }: RoundingView): string {
  return linear === null ? fill(strings.rounding.mean, rounding.linears.length) : `${linear}_proj`;
}

/** The part that is left of the error to nearest, at a layer or over all. */
export function roundingReadout(view: RoundingView, layer: number | null): string {
  const { strings } = view;
  const left = shareText(errorsOf(view, layer), strings);
  return fill(strings.rounding.ofNearest, placeOf(view, layer), left);
}

/** Both errors at a layer or over all, for the legend; in the order of {@link SIDES}. */
export function roundingValues(view: RoundingView, layer: number | null): string[] {
  const errors = errorsOf(view, layer);
  return SIDES.map((side) => percentText(errors[side], view.strings));
}

/** Everything said of a layer or of all in one sentence, for those who do not see the chart. */
export function spokenRounding(view: RoundingView, layer: number | null): string {
  const { rounding, strings } = view;
  const [nearest, reached] = roundingValues(view, layer);
  return `${roundingReadout(view, layer)} · ${rounding.method} ${reached} · ${strings.rounding.nearest} ${nearest}`;
}

/** One row per layer. */
export function roundingTable(view: RoundingView): TableModel {
  const { rounding, linear, strings } = view;
  const { rounding: say } = strings;
  const { method } = rounding;
  return {
    caption: `${say.title} · ${linearName(linear, view)}`,
    columns: [say.layer, say.nearest, method, fill(say.ratio, method)].map((title) => ({
      title,
      numeric: true,
    })),
    rows: rounding.layer.map((layer, index) => {
      const errors = errorsAt(view, index);
      return [
        String(layer),
        ...SIDES.map((side) => percentText(errors[side], strings)),
        shareText(errors, strings),
      ];
    }),
  };
}

function roundingSummary(view: RoundingView): string {
  const { rounding, linear, strings } = view;
  const { rounding: say } = strings;
  const [nearest = '', reached = ''] = roundingValues(view, null);
  const what = [say.title, linearName(linear, view), placeOf(view, null)];
  return `${fill(say.summary, ...what, reached, rounding.method, nearest)} ${say.help}`;
}

function placeOf({ rounding, strings: { rounding: say } }: RoundingView, layer: number | null): string {
  return layer === null ? fill(say.meanOfLayers, rounding.layer.length) : fill(say.layerNumber, layer);
}

/** At a layer; with null the mean over the layers. */
function errorsOf(view: RoundingView, layer: number | null): Pair {
  const { layer: layers } = view.rounding;
  if (layer === null) return meanOf(layers.map((_, index) => errorsAt(view, index)));
  const index = layers.indexOf(layer);
  return index < 0 ? NO_ERRORS : errorsAt(view, index);
}

/** Errors of the linear layer chosen, or the mean over all of the block. */
function errorsAt({ rounding, linear }: RoundingView, index: number): Pair {
  const chosen = rounding.linears.filter(({ name }) => linear === null || name === linear);
  return meanOf(chosen.map((one) => pairAt(one, index)));
}

const pairAt = ({ nearest, error }: LinearErrors, index: number): Pair => ({
  nearest: nearest[index] ?? null,
  error: error[index] ?? null,
});

/** Over those with both errors, so that both means are of the same. */
function meanOf(pairs: readonly Pair[]): Pair {
  const whole = pairs.filter(({ nearest, error }) => nearest !== null && error !== null);
  if (whole.length === 0) return NO_ERRORS;
  const mean = (side: Side) => whole.reduce((sum, pair) => sum + pair[side]!, 0) / whole.length;
  return { nearest: mean('nearest'), error: mean('error') };
}

/** In percent; a log axis has no place for zero. */
function drawable(share: number | null): number | null {
  return share !== null && share > 0 ? 100 * share : null;
}

function percentText(share: number | null, { rounding: say }: TrainingStrings): string {
  return share === null ? '–' : fill(say.percent, formatNumber(100 * share, 3));
}

function shareText({ nearest, error }: Pair, { rounding: say }: TrainingStrings): string {
  return nearest === null || error === null || nearest === 0
    ? '–'
    : fill(say.percent, formatNumber((100 * error) / nearest, 2));
}
