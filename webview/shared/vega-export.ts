/** Pictures as files. */
import { parse, View } from 'vega';
import { expressionInterpreter } from 'vega-interpreter';
import { compile } from 'vega-lite';
import type { PictureFormat } from '../../src/protocol/panels/matrix.ts';
import type { ChartSpec } from './chart-model.ts';

/** A PNG has so many points for each of the picture. */
const SCALE = 2;

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
