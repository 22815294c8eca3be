/** What each rounding costs the loss, as a heat map of layers and parts with its sums. */
import {
  type AttributionMeasure,
  measureOf,
  sumOf,
  sumsByLayer,
  sumsByPart,
} from '../../src/protocol/attribution-sums.ts';
import type { RoundedPart } from '../../src/protocol/block.ts';
import { type AttributionView, partsOf } from '../../src/protocol/panels/attribution.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, TableModel } from '../shared/chart-model.ts';
import type { Theme } from '../shared/theme.ts';
import { type HeatCell, heatChart } from './heat-grid.ts';

/** Room for a part's name and its sum. */
const LABEL_PX = 165;

/** Those that were measured. */
export function lossMeasures({ cells }: AttributionView): readonly AttributionMeasure[] {
  const estimated = ['rise', 'share'] as const;
  return cells.some(({ measured }) => measured)
    ? [...estimated, 'measured rise', 'measured fall']
    : estimated;
}

/** `+0.0123`: four digits behind the point, so that numbers stand below each other. */
export function natsText(value: number): string {
  if (Number.isNaN(value)) return '–';
  const text = value.toFixed(4).replace('-', '−');
  return value > 0 ? `+${text}` : text;
}

interface Place {
  readonly layer: number;
  readonly part: RoundedPart | null;
}

/** Names of rows as they are drawn, each with the sum of its layers. */
export function rowNames(
  view: AttributionView,
  measure: AttributionMeasure,
  { attribution: strings }: LayersStrings,
): ReadonlyMap<RoundedPart | null, string> {
  const named = sumsByPart(view, measure).map(
    ({ part, sum }) => [part, fill(strings.partSum, strings.parts[part], natsText(sum))] as const,
  );
  const whole = fill(strings.partSum, strings.sum, natsText(sumOf(view.cells, measure)));
  return new Map<RoundedPart | null, string>([...named, [null, whole]]);
}

export function attributionMap(
  view: AttributionView,
  measure: AttributionMeasure,
  { layer, part }: Place,
  strings: LayersStrings,
  theme: Theme,
): ChartModel {
  const { attribution: texts } = strings;
  const names = rowNames(view, measure, strings);
  const cells = view.cells
    .map(
      (cell): HeatCell => ({
        layer: cell.layer,
        row: names.get(cell.part)!,
        value: measureOf(cell, measure),
      }),
    )
    .filter(({ value }) => Number.isFinite(value));
  const values = cells.map(({ value }) => value);
  const ends = [Math.min(0, ...values), Math.max(...values, 1e-9)] as const;
  const sums = sumsByLayer(view, measure);
  // Sums are larger than what they add up: on the scale of cells they would all be alike.
  const shrink = ends[1] / Math.max(...sums, 1e-9);
  const row = names.get(null)!;
  return heatChart(
    {
      rows: [...names.values()],
      layers: view.layers,
      layerWord: strings.layer.toLowerCase(),
      cells: [...cells, ...sums.map((sum, at) => ({ layer: at, row, value: sum * shrink }))],
      selected: part && names.has(part) ? { layer, row: names.get(part)! } : null,
      title: fill(texts.nats, ''),
      log: false,
      moreIsWorse: true,
      ends,
      labelPx: LABEL_PX,
      summary: `${texts.map}, ${texts.measures[measure]}. ${texts.mapAbout}`,
    },
    theme,
  );
}

/** `layer 7 · down_proj input: +0.0123 nats`; of all parts where none is meant. */
export function attributionReadout(
  view: AttributionView,
  measure: AttributionMeasure,
  { layer, part }: Place,
  strings: LayersStrings,
): string {
  const { attribution: texts } = strings;
  const cells = view.cells.filter((cell) => cell.layer === layer && (part === null || cell.part === part));
  const [first] = cells;
  const where = `${fill(strings.layerNumber, layer)} · ${part === null ? texts.sum : texts.parts[part]}`;
  if (!first) return `${where}: –`;
  const value = part === null ? sumOf(cells, measure) : measureOf(first, measure);
  const bits = part === null ? '' : ` · ${fill(texts.point, first.bits)}`;
  return `${where}: ${fill(texts.nats, natsText(value))}${bits}`;
}

/** A row for each layer, a column for each part, and the sums of both. @param exact all digits of each number. */
export function attributionTable(
  view: AttributionView,
  measure: AttributionMeasure,
  strings: LayersStrings,
  exact = false,
): TableModel {
  const { attribution: texts } = strings;
  const text = (value: number) => (exact && Number.isFinite(value) ? String(value) : natsText(value));
  const parts = partsOf(view);
  const found = new Map(view.cells.map((cell) => [`${cell.layer} ${cell.part}`, measureOf(cell, measure)]));
  const rows = sumsByLayer(view, measure).map((sum, layer) => [
    String(layer),
    ...parts.map((part) => text(found.get(`${layer} ${part}`) ?? Number.NaN)),
    text(sum),
  ]);
  const last = [
    texts.allLayers,
    ...sumsByPart(view, measure).map(({ sum }) => text(sum)),
    text(sumOf(view.cells, measure)),
  ];
  return {
    caption: `${texts.map} · ${texts.measures[measure]} · ${fill(texts.nats, '').trim()}`,
    columns: [strings.layer, ...parts.map((part) => texts.parts[part]), texts.sum].map((title) => ({
      title,
      numeric: true,
    })),
    rows: [...rows, last],
  };
}
