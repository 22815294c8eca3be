import { type ChartSpec, chartSpec } from '../shared/chart-model.ts';
import type { Theme } from '../shared/theme.ts';
import { type ChartDefinition, DASHES, MARKS, SHAPES } from './definitions.ts';

const HEIGHT = 150;

type SpecColors = Pick<Theme, 'runs' | 'danger' | 'muted' | 'foreground' | 'background'>;

/**
 * Lines over the steps. Data sets: `steps` {run, series, piece, step, value} of the run itself, `others` of the overlays, which
 * are not evaluated again while the run goes on; `trend` likewise, of the loss; `ends` {run, series, step, value, label},
 * `rules` {value, label}, `gaps` {step}, `cursor` {step}.
 * Parameters: `xMax`, `xEnd` (with room for letters), `xTicks`, `stepWord`, `yMin`, `yMax`, and `yTicks` of a log axis.
 */
export function trainingSpec({ id, axis, series, labels }: ChartDefinition, colors: SpecColors): ChartSpec {
  const x = {
    field: 'step',
    type: 'quantitative',
    scale: { domain: [1, { expr: 'xEnd' }], nice: false, zero: false },
    axis: {
      title: null,
      format: 'd',
      values: { expr: 'xTicks' },
      labelExpr: "datum.value == xMax ? stepWord + ' ' + datum.label : datum.label",
    },
  };
  const y = {
    field: 'value',
    type: 'quantitative',
    scale: {
      type: axis === 'log' ? 'log' : 'linear',
      // Not domainMin and domainMax: they leave the data in the domain, and each new row would touch every mark.
      domain: [{ expr: 'yMin' }, { expr: 'yMax' }],
      nice: false,
      ...(axis !== 'log' && { zero: false }),
    },
    axis: {
      title: null,
      format: labels,
      minExtent: 44,
      ...(axis === 'log' ? { values: { expr: 'yTicks' } } : { tickCount: 5 }),
    },
  };
  const color = {
    field: 'run',
    type: 'nominal',
    scale: { domain: [...MARKS], range: [...colors.runs] },
    legend: null,
  };
  const dash = {
    field: 'series',
    type: 'nominal',
    scale: {
      domain: series.map(({ id }) => id),
      range: DASHES.slice(0, series.length).map((pattern) => [...pattern]),
    },
    legend: null,
  };
  const shape = {
    field: 'run',
    type: 'nominal',
    scale: { domain: [...MARKS], range: [...SHAPES] },
    legend: null,
  };
  // Under its bold mean, the loss of each batch steps back.
  const faint = id === 'loss' ? { strokeWidth: 1, opacity: 0.45 } : {};
  const line = (name: string, look: object) => ({
    name,
    data: { name },
    // Gaps come as pieces: to ask of every point whether it is valid costs a third of an update.
    mark: { type: 'line', invalid: null, clip: true, ...look },
    encoding: { x, y, color, strokeDash: dash, detail: { field: 'piece' } },
  });
  return chartSpec({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 320,
    height: HEIGHT,
    autosize: { type: 'fit-x', contains: 'padding' },
    padding: { left: 2, right: 12, top: 6, bottom: 2 },
    params: [
      { name: 'xMax', value: 1 },
      { name: 'xEnd', value: 1 },
      { name: 'xTicks', value: [1] },
      { name: 'stepWord', value: '' },
      { name: 'yTicks', value: [0.1, 1] },
      { name: 'yMin', value: 0.1 },
      { name: 'yMax', value: 1 },
    ],
    layer: [
      {
        data: { name: 'rules' },
        mark: { type: 'rule', strokeDash: [2, 2], color: colors.muted },
        encoding: { y },
      },
      {
        data: { name: 'rules' },
        mark: { type: 'text', align: 'right', baseline: 'bottom', dy: -2, color: colors.muted },
        encoding: { x: { value: 'width' }, y, text: { field: 'label' } },
      },
      {
        data: { name: 'cursor' },
        mark: { type: 'rule', color: colors.muted, opacity: 0.8 },
        encoding: { x },
      },
      line('others', faint),
      line('steps', faint),
      ...(id === 'loss' ? [line('trend', { strokeWidth: 2 })] : []),
      {
        data: { name: 'gaps' },
        mark: { type: 'point', shape: 'cross', filled: true, angle: 45, size: 55, color: colors.danger },
        encoding: { x, y: { value: HEIGHT - 7 } },
      },
      {
        data: { name: 'ends' },
        mark: {
          type: 'point',
          filled: true,
          opacity: 1,
          size: 42,
          stroke: colors.background,
          strokeWidth: 1,
        },
        encoding: { x, y, color, shape },
      },
      {
        data: { name: 'ends' },
        mark: {
          type: 'text',
          align: 'left',
          baseline: 'middle',
          dx: 6,
          fontWeight: 'bold',
          color: colors.foreground,
        },
        encoding: { x, y, text: { field: 'label' } },
      },
    ],
  });
}
