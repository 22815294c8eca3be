/** What rounding the weights by GPTQ gained over rounding to nearest: its chart, table and words. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { LinearErrors, RoundingErrors } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { ChartModel, Row, TableModel } from '../shared/chart-model.ts';
import { type Domain, logTicks, stableDomain } from '../shared/domain.ts';
import { formatNumber } from '../shared/format.ts';
import { layersSpec } from '../shared/layers-spec.ts';
import type { Theme } from '../shared/theme.ts';

export const METHODS = ['nearest', 'gptq'] as const;
type Method = (typeof METHODS)[number];

/** Errors of one row or of several, as shares. */
type Pair = Readonly<Record<Method, number | null>>;

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
    return METHODS.map((side): Row => ({ layer, side, value: drawable(errors[side]) }));
  });
  const domain = stableDomain(
    rows.map(({ value }) => value as number | null),
    previous,
    'log',
  );
  return {
    domain,
    model: {
      spec: layersSpec(theme, METHODS, { log: true, labels: '~g', minExtent: 44 }),
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

/** How much of the error of rounding to nearest is left, at a layer or over all. */
export function roundingReadout(view: RoundingView, layer: number | null): string {
  const { strings } = view;
  const left = shareText(errorsOf(view, layer), strings);
  return fill(strings.rounding.ofNearest, placeOf(view, layer), left);
}

/** Both errors at a layer or over all, for the legend; in the order of {@link METHODS}. */
export function roundingValues(view: RoundingView, layer: number | null): string[] {
  const errors = errorsOf(view, layer);
  return METHODS.map((method) => percentText(errors[method], view.strings));
}

/** Everything said of a layer or of all in one sentence, for those who do not see the chart. */
export function spokenRounding(view: RoundingView, layer: number | null): string {
  const { rounding: say } = view.strings;
  const [nearest, gptq] = roundingValues(view, layer);
  return `${roundingReadout(view, layer)} · ${say.gptq} ${gptq} · ${say.nearest} ${nearest}`;
}

/** One row per layer. */
export function roundingTable(view: RoundingView): TableModel {
  const { rounding, linear, strings } = view;
  const { rounding: say } = strings;
  return {
    caption: `${say.title} · ${linearName(linear, view)}`,
    columns: [say.layer, say.nearest, say.gptq, say.ratio].map((title) => ({ title, numeric: true })),
    rows: rounding.layer.map((layer, index) => {
      const errors = errorsAt(view, index);
      return [
        String(layer),
        ...METHODS.map((method) => percentText(errors[method], strings)),
        shareText(errors, strings),
      ];
    }),
  };
}

function roundingSummary(view: RoundingView): string {
  const { linear, strings } = view;
  const { rounding: say } = strings;
  const [nearest, gptq] = roundingValues(view, null);
  const text = fill(say.summary, say.title, linearName(linear, view), placeOf(view, null), gptq!, nearest!);
  return `${text} ${say.help}`;
}

function placeOf({ rounding, strings: { rounding: say } }: RoundingView, layer: number | null): string {
  return layer === null ? fill(say.meanOfLayers, rounding.layer.length) : fill(say.layerNumber, layer);
}

/** At a layer; with null the mean over the layers. */
function errorsOf(view: RoundingView, layer: number | null): Pair {
  const { layer: layers } = view.rounding;
  if (layer === null) return meanOf(layers.map((_, index) => errorsAt(view, index)));
  const index = layers.indexOf(layer);
  return index < 0 ? { nearest: null, gptq: null } : errorsAt(view, index);
}

/** Of the linear layer chosen, or the mean over all of the block. */
function errorsAt({ rounding, linear }: RoundingView, index: number): Pair {
  const chosen = rounding.linears.filter(({ name }) => linear === null || name === linear);
  return meanOf(chosen.map((one) => pairAt(one, index)));
}

const pairAt = ({ nearest, gptq }: LinearErrors, index: number): Pair => ({
  nearest: nearest[index] ?? null,
  gptq: gptq[index] ?? null,
});

/** Over those with both errors, so that both means are of the same. */
function meanOf(pairs: readonly Pair[]): Pair {
  const whole = pairs.filter(({ nearest, gptq }) => nearest !== null && gptq !== null);
  if (whole.length === 0) return { nearest: null, gptq: null };
  const mean = (method: Method) => whole.reduce((sum, pair) => sum + pair[method]!, 0) / whole.length;
  return { nearest: mean('nearest'), gptq: mean('gptq') };
}

/** In percent; a log axis has no place for zero. */
function drawable(share: number | null): number | null {
  return share !== null && share > 0 ? 100 * share : null;
}

function percentText(share: number | null, { rounding: say }: TrainingStrings): string {
  return share === null ? '–' : fill(say.percent, formatNumber(100 * share, 3));
}

function shareText({ nearest, gptq }: Pair, { rounding: say }: TrainingStrings): string {
  return nearest === null || gptq === null || nearest === 0
    ? '–'
    : fill(say.percent, formatNumber((100 * gptq) / nearest, 2));
}
