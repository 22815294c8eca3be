/**
 * This benchmark shows how the time of a learning step grows with layers, width, tokens and vocabulary. It measures
 * processor seconds against useful operations and fits the exponent of a power law; 1 is growth like the operations. It
 * writes bench/results/growth.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runScript } from '../child.ts';
import type { Measured, Measurement } from './measure.ts';
import { type SyntheticShape, writeSynthetic } from './synthetic.ts';

const WORK = join(import.meta.dirname, '..', '..', 'build', 'sizes');
const RESULTS = join(import.meta.dirname, '..', 'results');

const MIDDLE: SyntheticShape = {
  name: 'growth',
  hidden: 512,
  intermediate: 1536,
  layers: 4,
  heads: 8,
  kvHeads: 4,
  vocabulary: 8192,
  tied: false,
};
const SEQUENCE = 512;

interface Point {
  readonly value: number;
  readonly shape: SyntheticShape;
  readonly sequence: number;
}

/** Each axis doubles from point to point; the rest is as in the middle. */
const AXES: Readonly<Record<string, readonly Point[]>> = {
  layers: [2, 4, 8, 16].map((layers) => point(layers, { layers }, SEQUENCE)),
  width: [256, 512, 1024, 2048].map((hidden) =>
    point(hidden, { hidden, intermediate: 3 * hidden, heads: hidden / 64, kvHeads: hidden / 128 }, SEQUENCE),
  ),
  tokens: [256, 512, 1024, 2048, 4096].map((sequence) => point(sequence, {}, sequence)),
  vocabulary: [8192, 16384, 32768, 65536, 131072].map((vocabulary) =>
    point(vocabulary, { vocabulary }, SEQUENCE),
  ),
};

function point(value: number, change: Partial<SyntheticShape>, sequence: number): Point {
  return { value, sequence, shape: { ...MIDDLE, ...change } };
}

async function measure({ shape, sequence, value }: Point, axis: string): Promise<Measured> {
  const folder = join(WORK, `growth-${axis}-${value}`);
  writeSynthetic(folder, shape, false);
  const asked: Measurement = {
    what: 'step',
    folder,
    weightBits: 16,
    clipSearch: false,
    integer: 'if-faster',
    precision: 'bfloat16x2',
    weightClipEvery: 1,
    sequences: 1,
    sequence,
    repeats: 4,
    threads: 2,
    memoryLimit: null,
  };
  return runScript<Measured>(join(import.meta.dirname, 'measure.ts'), asked);
}

/** Returns the least-squares slope of ln y over ln x. */
function exponent(points: readonly { readonly flops: number; readonly cpuSeconds: number }[]): number {
  const x = points.map(({ flops }) => Math.log(flops));
  const y = points.map(({ cpuSeconds }) => Math.log(cpuSeconds));
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const covariance = x.reduce((sum, value, i) => sum + (value - mx) * (y[i]! - my), 0);
  return covariance / x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
}

const results: Record<string, unknown> = {};
for (const [axis, points] of Object.entries(AXES)) {
  const rows = [];
  for (const each of points) {
    const { flops, cpuSeconds, seconds } = await measure(each, axis);
    const least = Math.min(...cpuSeconds);
    rows.push({
      [axis]: each.value,
      flops,
      cpuSeconds: least,
      seconds: Math.min(...seconds),
      gflops: flops / least / 1e9,
    });
  }
  results[axis] = { exponent: exponent(rows), rows };
  console.log(
    `${axis}: time grows as operations^${exponent(rows).toFixed(2)}`,
    rows.map((row) => row.gflops.toFixed(0)).join(' '),
    'GFLOP/s',
  );
}
mkdirSync(RESULTS, { recursive: true });
writeFileSync(join(RESULTS, 'growth.json'), `${JSON.stringify(results, null, 2)}\n`);
