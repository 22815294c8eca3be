/** The spread over seeds (the paper's figure 4): a strip for each row that has several. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type { MatrixRow } from '../../../src/protocol/panels/matrix.ts';
import type { ChartSpec } from '../../shared/chart-model.ts';
import { fittedSpec } from '../../shared/spec-parts.ts';
import type { Theme } from '../../shared/theme.ts';
import { axisSignals, isWide, scaleOf } from './scale.ts';
import { measureAxis } from './spec.ts';
import {
  columnIndex,
  columnOf,
  fillingOf,
  formatValue,
  measuredWords,
  methodsOf,
  type PictureKind,
  type PictureView,
  sentences,
  summaryOf,
} from './view.ts';

/** From so many values on, a box shows where the middle half lies. */
const BOX_FROM = 5;
const STRIP_HEIGHT = 30;

export interface Strip {
  readonly name: string;
  /** Ascending. */
  readonly values: readonly number[];
  readonly mean: number;
  readonly deviation: number;
}

/** Rows at the chosen bits with numbers of several seeds. */
export function stripsOf(view: PictureView): Strip[] {
  const { table } = view;
  const names = methodsOf(table);
  return table.rows
    .filter(({ bits }) => bits === table.bits)
    .flatMap((row) => stripOf(row, columnIndex(view), names.get(row.method) ?? row.title));
}

function stripOf({ cells, values }: MatrixRow, column: number, name: string): Strip[] {
  const found = cells.map((cell) => cell.values[column] ?? null).filter((value) => value !== null);
  const { mean = null, deviation = null } = values[column] ?? {};
  if (found.length < 2 || mean === null || deviation === null) return [];
  return [{ name, values: found.sort((a, b) => a - b), mean, deviation }];
}

/** The value below which a share of sorted values lies, between neighbours in proportion. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** Data sets: `points` {row, value}, `spans` {row, least, mean, largest}, `boxes` {row, from, to}. */
function spreadSpec(rows: readonly string[], log: boolean, theme: Theme, standalone: boolean): ChartSpec {
  const x = (field: string) => measureAxis('x', field, log, { grid: true });
  const labels = { title: null, labelLimit: standalone ? 320 : 210, grid: false, ticks: false };
  const y = { field: 'row', type: 'nominal', scale: { domain: rows, padding: 0.3 }, axis: labels };
  const layer = (name: string, mark: object, encoding: object) => ({
    data: { name },
    mark,
    encoding: { y, ...encoding },
  });
  const box = { type: 'bar', height: 14, color: theme.accent, opacity: theme.highContrast ? 0.35 : 0.18 };
  const point = { type: 'point', filled: false, size: 36, opacity: 1, color: theme.accent, strokeWidth: 1.5 };
  return fittedSpec(
    Math.max(2, rows.length) * STRIP_HEIGHT,
    { xMin: 0, xMax: 1, xTicks: [0.1, 1] },
    {
      layer: [
        layer('boxes', box, { x: x('from'), x2: { field: 'to' } }),
        layer('spans', { type: 'rule', color: theme.muted }, { x: x('least'), x2: { field: 'largest' } }),
        layer('points', point, { x: x('value') }),
        layer('spans', { type: 'tick', thickness: 2.5, size: 20, color: theme.foreground }, { x: x('mean') }),
      ],
    },
  );
}

/** Why there is no spread: no seeds listed, none drawn by, or none done yet. */
function emptyText(view: PictureView): string {
  const { strings, table } = view;
  const rows = table.rows.filter(({ bits }) => bits === table.bits);
  const several = rows.filter(({ cells }) => cells.length > 1);
  const isSeeded = rows.some(({ cells }) => cells.some(({ seeded }) => seeded));
  const noneListed = isSeeded ? strings.listSeeds : strings.noneDrawn;
  const help = several.length === 0 ? noneListed : fillingOf(several, view);
  return sentences(fill(strings.empty.spread, table.bits), help);
}

export const spreadPicture: PictureKind = {
  draw(view, theme, standalone) {
    const { strings, table } = view;
    const strips = stripsOf(view);
    const metric = columnOf(view)?.metric;
    const values = strips.flatMap((strip) => strip.values);
    const scale = scaleOf(values, metric === 'perplexity' && isWide(values));
    const boxed = strips.filter((strip) => strip.values.length >= BOX_FROM);
    const rows = strips.map(({ name }) => name);
    return {
      model: {
        spec: spreadSpec(rows, scale.log, theme, standalone),
        data: {
          points: strips.flatMap(({ name, values: all }) => all.map((value) => ({ row: name, value }))),
          spans: strips.map(({ name, values: all, mean }) => ({
            row: name,
            least: all[0] ?? mean,
            mean,
            largest: all.at(-1) ?? mean,
          })),
          boxes: boxed.map(({ name, values: all }) => ({
            row: name,
            from: quantile(all, 0.25),
            to: quantile(all, 0.75),
          })),
        },
        signals: axisSignals('x', scale),
        summary: summaryOf(
          view,
          strings.titles.spread,
          strips.map(({ name, values: all, mean }) =>
            fill(
              strings.summarySpread,
              name,
              ...[mean, all[0] ?? null, all.at(-1) ?? null].map((value) => formatValue(value, metric)),
              all.length,
            ),
          ),
        ),
        readout: '',
        note: '',
      },
      legend: [],
      about: fill(strings.about.spread, ...measuredWords(view), table.bits),
      empty: strips.length === 0 ? emptyText(view) : '',
    };
  },
  table(view) {
    const { strings, table } = view;
    const { columns } = strings;
    const format = (value: number | null) => formatValue(value, columnOf(view)?.metric);
    return {
      caption: `${strings.titles.spread} · ${measuredWords(view).join(' · ')} · ${table.bits}`,
      columns: [
        { title: columns.row, numeric: false },
        ...[columns.n, columns.mean, columns.deviation, columns.least, columns.largest].map((title) => ({
          title,
          numeric: true,
        })),
        { title: columns.values, numeric: false },
      ],
      rows: stripsOf(view).map(({ name, values, mean, deviation }) => [
        name,
        String(values.length),
        format(mean),
        format(deviation),
        format(values[0] ?? null),
        format(values.at(-1) ?? null),
        values.map(format).join(', '),
      ]),
    };
  },
};
