/** Parts of the specs of a table's pictures. */
import { category } from '../../shared/spec-parts.ts';
import type { Series } from './view.ts';

/** An axis between two parameters: `xMin` and `xMax`, or `yMin` and `yMax`; a log axis has its ticks at `xTicks`. */
export function measureAxis(side: 'x' | 'y', field: string, log: boolean, axis: object = {}): object {
  return {
    field,
    type: 'quantitative',
    scale: {
      type: log ? 'log' : 'linear',
      domain: [{ expr: `${side}Min` }, { expr: `${side}Max` }],
      nice: false,
      ...(!log && { zero: false }),
    },
    axis: {
      title: null,
      format: log ? '~g' : '~r',
      ...(log ? { values: { expr: `${side}Ticks` } } : { tickCount: 5 }),
      ...axis,
    },
  };
}

/** A file has its legend inside, one row below the other: names are long. */
const LEGEND = {
  orient: 'bottom',
  direction: 'vertical',
  columns: 2,
  title: null,
  labelLimit: 340,
  symbolOpacity: 1,
};

/** The channels that tell rows apart. @param standalone with a legend. */
export function seriesChannels(series: readonly Series[], background: string, standalone: boolean) {
  const names = series.map(({ name }) => name);
  const by = (range: readonly (string | readonly number[])[]) => ({
    ...category('series', names, range),
    ...(standalone && { legend: LEGEND }),
  });
  return {
    color: by(series.map(({ color }) => color)),
    fill: by(series.map(({ color, filled }) => (filled ? color : background))),
    shape: by(series.map(({ shape }) => shape)),
    strokeDash: by(series.map(({ dash }) => dash)),
  };
}
