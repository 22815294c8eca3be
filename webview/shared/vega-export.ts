/** Charts as files that stand alone: data, title, legend and colours are in them. */
import { parse, View } from 'vega';
import { expressionInterpreter } from 'vega-interpreter';
import { compile } from 'vega-lite';
import type { PictureFormat } from '../../src/protocol/panels/matrix.ts';
import type { ChartModel, ChartSpec } from './chart-model.ts';
import type { Theme } from './theme.ts';
import { vegaConfig } from './vega-config.ts';

/** Fits a column of text. */
const WIDTH = 640;
/** A PNG has so many points for each of the picture. */
const SCALE = 2;

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

/** @returns the text of a file; of a PNG its bytes in base64. */
export async function pictureFile(spec: ChartSpec, format: PictureFormat): Promise<string> {
  if (format === 'vega-lite') return `${JSON.stringify(spec, null, 2)}\n`;
  const view = new View(parse(compile(spec).spec, undefined, { ast: true }), {
    expr: expressionInterpreter,
    renderer: 'none',
  });
  try {
    if (format === 'svg') return await view.toSVG();
    const canvas = await view.toCanvas(SCALE);
    return canvas.toDataURL('image/png').replace(/^[^,]*,/, '');
  } finally {
    view.finalize();
  }
}
