/** Balanced scales: least in the error that they are to lower, by shares of channels that loops find, and in a job. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reals } from '../../src/engine/graph/program.ts';
import { ProgramCache, type ProgramKind } from '../../src/engine/graph/program-cache.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { method } from '../../src/engine/methods/balance.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { layerExpression } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { balancedScales } from '../../src/engine/transform/balance/balanced-scales.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { scalesBy } from '../helpers/scaling.ts';
import { GOLDEN_NAMES, goldenFolder } from '../model/goldens.ts';

/** Σ E[x²] s² · Σ ‖w‖² / s², what is let through. */
const through = (squares: Float64Array, weights: Float64Array, scales: ArrayLike<number>): number =>
  squares.reduce((sum, x, j) => sum + x * scales[j]! ** 2, 0) *
  weights.reduce((sum, w, j) => sum + w / scales[j]! ** 2, 0);

test('no other scales let less through, and those of each head keep their size', () => {
  const rng = new Rng(1);
  const [squares, weights] = [0, 1].map(() =>
    Float64Array.from({ length: 12 }, () => Math.exp(2 * rng.normal())),
  );
  const scales = balancedScales(squares!, weights!, 12);
  const least = through(squares!, weights!, scales);
  const root = squares!.reduce((sum, x, j) => sum + Math.sqrt(x * weights![j]!), 0);
  // Cauchy and Schwarz; scales are float32, and off the least their square counts.
  assert.ok(Math.abs(least / root ** 2 - 1) < 1e-12);
  assert.ok(least < 0.9 * through(squares!, weights!, new Float64Array(12).fill(1)));
  for (let i = 0; i < 20; i++)
    assert.ok(
      through(
        squares!,
        weights!,
        scales.map((s) => s * Math.exp(0.1 * rng.normal())),
      ) > least,
    );
  const heads = balancedScales(squares!, weights!, 4);
  for (const first of [0, 4, 8]) {
    const logs = heads.subarray(first, first + 4).reduce((sum, s) => sum + Math.log(s), 0);
    assert.ok(Math.abs(logs) < 4 * 2 ** -22);
  }
});

test('channels that nothing writes or reads have scales that are finite', () => {
  const scales = balancedScales(Float64Array.of(0, 1, 0, 0), Float64Array.of(1, 0, 0, 0), 2);
  assert.ok(scales.every((scale) => scale > 0 && scale < 1e3));
  assert.deepEqual([...scales.subarray(2)], [1, 1]);
});

test('scales of a network are those of its rows and weights, by loops', async () => {
  const name = GOLDEN_NAMES.find((one) => one.startsWith('llama'))!;
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const { config } = checkpoint;
  const options = {
    mode: 'plain',
    maps: NO_MAPS,
    quantizers: FULL_PRECISION,
    centreEmbedding: false,
  } as const;
  const network = new Network(cache, checkpoint, options);
  const blocks = differentWindows(config, 2, 12);
  const work = { cache, network, maps: NO_MAPS, state: {}, blocks };
  const found = await scalesBy(method, {
    ...work,
    options: { values: true, keys: false, norms: false, samples: 2 },
  });
  const alone = await scalesBy(method, {
    ...work,
    options: { values: false, keys: false, norms: false, samples: 2 },
  });
  assert.deepEqual(alone['up-scale'], found['up-scale']);
  assert.ok(alone['value-scale']!.every((scales) => scales.every((scale) => scale === 1)));
  const { kvHeads, heads, headDim: h, intermediateSize: f, hiddenSize: d } = config;
  const [values, products] = [new Float64Array(kvHeads * h), new Float64Array(f)];
  for (const ids of blocks) {
    const x = await network.embed(ids);
    const { shape, types, tensors } = network.layerContext(0, { batch: 1, sequence: ids.length });
    const seen = await (await cache.get(SEEN, { shape, types })).run({ ...tensors, x });
    addShares(values, seen.value.data, kvHeads, h, 1);
    addShares(values, seen.mixed.data, heads, h, heads / kvHeads);
    addShares(products, seen.product.data, 1, f, 1);
  }
  const layer = checkpoint.layer(0);
  const [o, down] = [toFloat32(layer.o), toFloat32(layer.down)];
  const ofO = Float64Array.from({ length: kvHeads * h }, (_, channel) => {
    const [group, i] = [Math.floor(channel / h), channel % h];
    let sum = 0;
    for (let row = 0; row < d; row++)
      for (let head = group * (heads / kvHeads); head < (group + 1) * (heads / kvHeads); head++)
        sum += o[row * heads * h + head * h + i]! ** 2;
    return sum;
  });
  const ofDown = Float64Array.from({ length: f }, (_, channel) => {
    let sum = 0;
    for (let row = 0; row < d; row++) sum += down[row * f + channel]! ** 2;
    return sum;
  });
  // Squares that are summed in float32: a rounding for each of 12 rows and of up to d terms.
  for (const [expected, given] of [
    [balancedScales(values, ofO, h), found['value-scale']![0]!],
    [balancedScales(products, ofDown, f), found['up-scale']![0]!],
  ] as const)
    expected.forEach((scale, j) => {
      assert.ok(Math.abs(scale / given[j]! - 1) < (d + 12) * 2 ** -24, `${j}: ${scale}, ${given[j]}`);
    });
  const rotation = rotationOf(d);
  const turned = { maps: { residual: { kind: 'dense' } }, state: { residual: [rotation] } } as const;
  const norms = await scalesBy(method, {
    ...{ ...work, ...turned },
    options: { values: true, keys: false, norms: true, samples: 2 },
  });
  assert.deepEqual(norms['up-scale'], found['up-scale']);
  const shares = new Float64Array(d);
  for (const ids of blocks) {
    // The first norm reads the embedding: rows by their length, turned, in shares of 1.
    const x = (await network.embed(ids)).data;
    for (let row = 0; row < x.length; row += d) addShares(shares, turnedRow(x, row, rotation, d), 1, d, 1);
  }
  const gain = toFloat32(layer.inputNorm);
  const ofNorm = new Float64Array(d);
  for (const weight of [layer.q, layer.k, layer.v].map(toFloat32)) {
    const gained = weight.map((value, index) => value * gain[index % d]!);
    for (let row = 0; row < gained.length; row += d)
      for (const [j, value] of turnedRow(gained, row, rotation, d).entries()) ofNorm[j]! += value ** 2;
  }
  // Products of d terms in float32 on either side, twice as far off in squares.
  balancedScales(shares, ofNorm, d).forEach((scale, j) => {
    const given = norms['attention-norm']![0]![j]!;
    assert.ok(Math.abs(scale / given - 1) < 4 * (d + 12) * 2 ** -24, `${j}: ${scale}, ${given}`);
  });
  await cache.release();
  runtime.close();
});

/** A random rotation [d, d]. */
function rotationOf(d: number): Float32Array {
  const sizes = { hidden: d, headDim: d, layers: 1 };
  return drawRotations(sizes, { r1: 'random', r2: null }, new Rng(4)).r1!;
}

/** One row of numbers [d] times R. */
function turnedRow(rows: Float32Array, first: number, rotation: Float32Array, d: number): Float32Array {
  return Float32Array.from({ length: d }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += rows[first + i]! * rotation[i * d + j]!;
    return sum;
  });
}

type Spec = Pick<ReturnType<Network['layerContext']>, 'shape' | 'types'>;

/** Rows of values, of mixed values and of what down_proj reads. */
const SEEN: ProgramKind<Spec, Record<'value' | 'mixed' | 'product', Reals>> = {
  name: 'seen-by-balance',
  build({ shape, types }) {
    const sites: Record<string, ReturnType<typeof layerExpression>['y']> = {};
    const { graph } = layerExpression(shape, types, 'plain', false, 'float32', (site, value) => {
      sites[site] = value;
    });
    const { value, 'o-input': mixed, 'down-input': product } = sites;
    return { graph, outputs: { value: value!, mixed: mixed!, product: product! } };
  },
};

/** x² / ‖x‖² of each part of n channels; `together` parts share their channels, in their mean. */
function addShares(sums: Float64Array, rows: Float32Array, parts: number, n: number, together: number): void {
  for (let first = 0; first < rows.length; first += n) {
    const part = (first / n) % parts;
    let square = 0;
    for (let i = 0; i < n; i++) square += rows[first + i]! ** 2;
    const at = Math.floor(part / together) * n;
    for (let i = 0; i < n; i++) sums[at + i]! += rows[first + i]! ** 2 / square / together;
  }
}

test('a job scales beside rotations, and the full-precision function stays', async () => {
  const short = await shortExperiment(demoFolder(), { weights: { method: 'rtn' } });
  const rotation = { ...short.rotation, r1: 'hadamard', r2: 'hadamard' } as const;
  const balance = { ...short.scaling.balance, values: true, keys: true, norms: true };
  const scaling = { ...short.scaling, method: 'balance', balance } as const;
  const { events, result } = await collect(evaluateExperiment({ ...short, rotation, scaling }, {}));
  const kept = events.filter((event) => event.type === 'preservation');
  assert.ok(kept.some(({ where }) => where === 'channel scales'));
  for (const { relative, tolerance } of kept) assert.ok(relative <= tolerance);
  const plain = await collect(evaluateExperiment({ ...short, rotation }, {}));
  assert.notEqual(result.perplexity[0]!.quantized, plain.result.perplexity[0]!.quantized);
  assert.equal(result.perplexity[0]!.fullPrecision, plain.result.perplexity[0]!.fullPrecision);
});
