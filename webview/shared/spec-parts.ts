import type { ChartSpec } from './chart-model.ts';

type Ranges = readonly (string | number | readonly number[])[];

/**
 * A spec as wide as its figure. The parameters start with these values; a model gives the present ones.
 *
 * The parts of a spec are plain objects, whose literals the compiler cannot follow into vega-lite's type. Tests compile
 * every spec of ours instead and allow no warning.
 */
export function fittedSpec(
  height: number,
  parameters: Readonly<Record<string, string | number | readonly number[]>>,
  content: object,
): ChartSpec {
  const spec: object = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 320,
    height,
    autosize: { type: 'fit-x', contains: 'padding' },
    padding: { left: 2, right: 12, top: 6, bottom: 2 },
    params: Object.entries(parameters).map(([name, value]) => ({ name, value })),
    ...content,
  };
  return spec as ChartSpec;
}

/**
 * An x axis whose ends are given. Not by domainMin and domainMax, which leave the data in the domain: each new row would
 * then touch every mark.
 */
export function xAxis(field: string, ends: readonly [unknown, unknown], axis: object): object {
  return { field, type: 'quantitative', scale: { domain: ends, nice: false, zero: false }, axis };
}

/** A y axis from the parameters `yMin` to `yMax`; a log axis has its ticks at `yTicks`. */
export function valueAxis(log: boolean, format: string, minExtent: number): object {
  return {
    field: 'value',
    type: 'quantitative',
    scale: {
      type: log ? 'log' : 'linear',
      domain: [{ expr: 'yMin' }, { expr: 'yMax' }],
      nice: false,
      ...(!log && { zero: false }),
    },
    axis: {
      title: null,
      format,
      minExtent,
      ...(log ? { values: { expr: 'yTicks' } } : { tickCount: 5 }),
    },
  };
}

/** A field of few values, each with its own colour, dash or shape. Legends are drawn beside the chart. */
export function category(field: string, domain: readonly string[], range: Ranges): object {
  return { field, type: 'nominal', scale: { domain, range }, legend: null };
}
