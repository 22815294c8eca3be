/** What more bits buy: perplexity against average bits. */
import type { AttributionView } from '../../src/protocol/panels/attribution.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, ChartSpec, Row, TableModel } from '../shared/chart-model.ts';
import { tightLinearDomain } from '../shared/domain.ts';
import { formatPerplexity } from '../shared/format.ts';
import { category, fittedSpec, valueAxis, xAxis } from '../shared/spec-parts.ts';
import type { Theme } from '../shared/theme.ts';

const HEIGHT = 150;
/** Lines of the texts differ by these; the first is solid. */
const DASHES = [
  [1, 0],
  [5, 3],
  [2, 2],
  [8, 3, 2, 3],
] as const;

const bitsText = (bits: number): string => String(Number(bits.toFixed(2)));

/** `4.25 bits · perplexity 7.02`, for a choice among points. */
export function pointText(
  { bits, perplexity }: AttributionView['curve'][number],
  strings: LayersStrings,
): string {
  const { attribution: texts } = strings;
  const [first] = perplexity;
  const value = formatPerplexity(first?.quantized ?? Number.POSITIVE_INFINITY);
  return `${fill(texts.point, bitsText(bits))} · ${texts.perplexity} ${value}`;
}

export function budgetCurve({ curve }: AttributionView, strings: LayersStrings, theme: Theme): ChartModel {
  const { attribution: texts } = strings;
  const rows = curve.flatMap(({ bits, perplexity }) =>
    perplexity.map(({ name, quantized }): Row => ({ bits, name, value: quantized })),
  );
  const names = [...new Set(rows.map(({ name }) => name as string))];
  const bits = tightLinearDomain(curve.map((point) => point.bits));
  const values = tightLinearDomain(rows.map(({ value }) => value as number | null));
  const ends = [curve[0], curve.at(-1)].map((point) => (point ? pointText(point, strings) : ''));
  return {
    spec: curveSpec(names, texts.averageBits, theme),
    data: { points: rows, cursor: [] },
    signals: { xMin: bits[0], xMax: bits[1], yMin: values[0], yMax: values[1] },
    summary: `${texts.curve}: ${ends.join(' → ')}`,
    readout: '',
    note: '',
  };
}

function curveSpec(names: readonly string[], xTitle: string, theme: Theme): ChartSpec {
  const x = xAxis('bits', [{ expr: 'xMin' }, { expr: 'xMax' }], {
    title: xTitle,
    format: '~g',
    tickCount: 6,
  });
  const y = valueAxis(false, '~g', 36);
  const dashes = names.map((_, index) => DASHES[index % DASHES.length]!);
  return fittedSpec(
    HEIGHT,
    { xMin: 4, xMax: 5, yMin: 0, yMax: 1 },
    {
      layer: [
        { data: { name: 'cursor' }, mark: { type: 'rule', color: theme.muted }, encoding: { x } },
        {
          data: { name: 'points' },
          mark: { type: 'line', color: theme.accent },
          encoding: { x, y, strokeDash: category('name', names, dashes) },
        },
        {
          data: { name: 'points' },
          transform: [{ filter: 'isValid(datum.value)' }],
          mark: { type: 'square', opacity: 1, size: 36, color: theme.accent },
          encoding: { x, y },
        },
      ],
    },
  );
}

/** The point nearest to a value of the axis; −1 where there is none. */
export function pointAt({ curve }: AttributionView, x: number): number {
  const distance = (at: number): number => Math.abs((curve[at]?.bits ?? Number.POSITIVE_INFINITY) - x);
  return curve.reduce(
    (nearest, _, at) => (nearest < 0 || distance(at) < distance(nearest) ? at : nearest),
    -1,
  );
}

/** `4.25 bits · wikitext2 7.02 · down activations 0-1`. */
export function pointReadout({ curve }: AttributionView, at: number, strings: LayersStrings): string {
  const point = curve[at];
  if (!point) return '';
  const texts = point.perplexity.map(
    ({ name, quantized }) => `${name} ${formatPerplexity(quantized ?? Number.POSITIVE_INFINITY)}`,
  );
  const exceptions = point.exceptions === '' ? [] : [point.exceptions];
  return [fill(strings.attribution.point, bitsText(point.bits)), ...texts, ...exceptions].join(' · ');
}

export function curveTable({ curve }: AttributionView, strings: LayersStrings, exact = false): TableModel {
  const { attribution: texts } = strings;
  const names = curve[0]?.perplexity.map(({ name }) => name) ?? [];
  const value = (quantized: number | null) =>
    exact ? String(quantized ?? '') : formatPerplexity(quantized ?? Number.POSITIVE_INFINITY);
  return {
    caption: texts.curveAbout,
    columns: [
      { title: texts.averageBits, numeric: true },
      ...names.map((title) => ({ title, numeric: true })),
      { title: texts.more, numeric: false },
    ],
    rows: curve.map(({ bits, perplexity, exceptions }) => [
      exact ? String(bits) : bitsText(bits),
      ...perplexity.map(({ quantized }) => value(quantized)),
      exceptions || '–',
    ]),
  };
}
