/** Charts that stand alone: data, title, legend and colours are in them. */
import type { ChartModel, ChartSpec } from './chart-model.ts';
import type { Theme } from './theme.ts';
import { vegaConfig } from './vega-config.ts';

/** Fits a column of text. */
const WIDTH = 640;

interface Title {
  readonly text: string;
  readonly subtitle: string;
}

interface Parameter {
  readonly name: string;
  readonly value: unknown;
}

/** The spec of a chart with everything that flows into it on a page. */
export function standaloneSpec(
  { spec, data, signals, summary }: ChartModel,
  title: Title,
  theme: Theme,
): ChartSpec {
  const { params = [], ...rest } = spec as { readonly params?: readonly Parameter[] };
  const whole: object = {
    ...rest,
    width: WIDTH,
    title: { ...title, anchor: 'start', frame: 'bounds', offset: 12 },
    description: summary,
    background: theme.background,
    padding: 12,
    params: params.map(({ name, value }) => ({ name, value: signals[name] ?? value })),
    datasets: data,
    config: vegaConfig(theme),
  };
  return whole as ChartSpec;
}
