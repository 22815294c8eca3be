/** Kurtosis and rounding error of weights before and after maps, against their definitions in loops of float64. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { kurtosisOf } from '../../src/engine/calibration/statistics/moments.ts';
import { observeWeights } from '../../src/engine/calibration/statistics/weights.ts';
import type { WeightQuantizer } from '../../src/engine/graph/fused/weight-quantize.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS, type SeamMaps, type SeamState } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { readTensor, toFloat32 } from '../../src/formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../src/protocol/block.ts';
import type { FileTensor } from '../../src/protocol/tensor.ts';
import type { WeightRecord } from '../../src/runs/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder } from '../model/goldens.ts';

type Matrix = readonly Float64Array[];

/** R1, R2 and scales at the norms, one of each layer where the seam has them. */
const MAPS: SeamMaps = {
  residual: { kind: 'dense' },
  value: { kind: 'heads' },
  'attention-norm': { kind: 'diagonal' },
};
const QUANTIZERS: readonly WeightQuantizer[] = [
  { bits: 4, symmetric: true, group: 0, clipSearch: false },
  { bits: 3, symmetric: true, group: 8, clipSearch: false },
  { bits: 16, symmetric: true, group: 0, clipSearch: false },
];

let checkpoint: Checkpoint;
let state: SeamState;
before(async () => {
  checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { hiddenSize, headDim, layers } = checkpoint.config;
  const rng = new Rng(3);
  const rotation = (size: number) => Float32Array.from(haarRotation(size, rng));
  const ofLayers = (one: () => Float32Array) => Array.from({ length: layers }, one);
  state = {
    residual: [rotation(hiddenSize)],
    value: ofLayers(() => rotation(headDim)),
    'attention-norm': ofLayers(() => Float32Array.from({ length: hiddenSize }, () => 0.5 + rng.uniform())),
  };
});

const numbers = (tensor: FileTensor): Float32Array => toFloat32(readTensor(tensor));

function rowsOf(tensor: FileTensor): Float64Array[] {
  const [rows = 0, columns = 0] = tensor.dims;
  const values = numbers(tensor);
  return Array.from({ length: rows }, (_, row) =>
    Float64Array.from(values.subarray(row * columns, (row + 1) * columns)),
  );
}

/** A block-diagonal map of `size` channels whose blocks are all the same matrix. */
const entry = (map: Float32Array, i: number, j: number): number => {
  const n = Math.sqrt(map.length);
  return Math.floor(i / n) === Math.floor(j / n) ? map[(i % n) * n + (j % n)]! : 0;
};

/** W A. */
function fromRight(w: Matrix, map: Float32Array): Matrix {
  return w.map((row) => row.map((_, j) => row.reduce((sum, value, i) => sum + value * entry(map, i, j), 0)));
}

/** Lᵀ W. */
function fromLeft(w: Matrix, map: Float32Array): Matrix {
  return w.map((row, j) =>
    row.map((_, column) => w.reduce((sum, other, i) => sum + entry(map, i, j) * other[column]!, 0)),
  );
}

const NORMS: Readonly<Partial<Record<Linear, 'inputNorm' | 'postNorm'>>> = {
  ...{ q: 'inputNorm', k: 'inputNorm', v: 'inputNorm' },
  ...{ gate: 'postNorm', up: 'postNorm' },
};

/** The weight that a network without maps rounds: with the gain of its norm. */
function gained(layer: number, linear: Linear): Matrix {
  const weights = checkpoint.layer(layer);
  const norm = NORMS[linear];
  const gain = norm ? numbers(weights[norm] as FileTensor) : null;
  return rowsOf(weights[linear] as FileTensor).map((row) => row.map((value, i) => value * (gain?.[i] ?? 1)));
}

/** Readers of a seam take T⁻ᵀ, writers T; scales stand behind R1. */
function mapped(layer: number, linear: Linear): Matrix {
  const r1 = state.residual![0]!;
  const r2 = state.value![layer]!;
  const scales = state['attention-norm']![layer]!;
  let w = gained(layer, linear);
  if (NORMS[linear]) w = fromRight(w, r1);
  if (NORMS[linear] === 'inputNorm') w = w.map((row) => row.map((value, i) => value / scales[i]!));
  if (linear === 'o' || linear === 'down') w = fromLeft(w, r1);
  if (linear === 'o') w = fromRight(w, r2);
  return linear === 'v' ? fromLeft(w, r2) : w;
}

/** E[(w−µ)⁴] / σ⁴, two passes. */
function kurtosis(w: Matrix): number {
  const all = w.flatMap((row) => [...row]);
  const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
  const central = (power: number) => all.reduce((sum, value) => sum + (value - mean) ** power, 0);
  return (all.length * central(4)) / central(2) ** 2;
}

/** To nearest with s = max|w| / (2^{b−1} − 1) of each row, or of each group in it. */
function sqnrDb(w: Matrix, { bits, group }: WeightQuantizer): number {
  const top = 2 ** (bits - 1) - 1;
  let [power, error] = [0, 0];
  for (const row of w) {
    const size = group || row.length;
    for (let start = 0; start < row.length; start += size) {
      const values = row.subarray(start, start + size);
      const s = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / top;
      for (const value of values) {
        power += value ** 2;
        error += (s * Math.max(-top - 1, Math.min(top, Math.round(value / s))) - value) ** 2;
      }
    }
  }
  return 10 * Math.log10(power / error);
}

async function observe(kernels: 'composed' | 'native', maps: SeamMaps, weights: WeightQuantizer) {
  const runtime = await createRuntime({ kernels, device: 'cpu', threads: 1 });
  const cache = new ProgramCache(runtime);
  const quantizers = { ...FULL_PRECISION, weights };
  const options = {
    mode: 'plain',
    quantizers: FULL_PRECISION,
    maps: NO_MAPS,
    centreEmbedding: false,
  } as const;
  const network = new Network(cache, checkpoint, options);
  try {
    return await observeWeights(cache, { network, maps, state, quantizers });
  } finally {
    await cache.release();
    runtime.close();
  }
}

function assertClose(record: WeightRecord, quantizer: WeightQuantizer): void {
  const { layer, linear, before, after } = record;
  const { hiddenSize, intermediateSize } = checkpoint.config;
  /** Two products of at most these lengths in float32, then sums of rows: each term is off by half an ε at most. */
  const close = (2 * hiddenSize + Math.max(hiddenSize, intermediateSize)) * 2 ** -24;
  for (const [side, found, w] of [
    ['before', before, gained(layer, linear)],
    ['after', after, mapped(layer, linear)],
  ] as const) {
    const what = `${linear} ${layer} ${side}`;
    const expected = kurtosis(w);
    // A fourth power over the square of a second one: eight times the relative error of a value.
    assert.ok(Math.abs(found.kurtosis / expected - 1) < 8 * close, `${what}: ${found.kurtosis}, ${expected}`);
    if (quantizer.bits === 16) assert.equal(found.sqnrDb, null, what);
    // An error is up to 2^(bits − 1) times smaller than its value, and moves with the value and with its scale.
    else {
      const decibels = 10 * Math.log10(1 + 2 * 2 ** quantizer.bits * close);
      assert.ok(Math.abs(found.sqnrDb! - sqnrDb(w, quantizer)) < decibels, `${what}: ${found.sqnrDb} dB`);
    }
  }
}

for (const kernels of KERNELS)
  test(`statistics of weights are those of their definitions (${kernels} kernels)`, async () => {
    for (const quantizer of QUANTIZERS) {
      const records = await observe(kernels, MAPS, quantizer);
      assert.equal(records.length, LINEARS.length * checkpoint.config.layers);
      for (const record of records) assertClose(record, quantizer);
    }
  });

test('the maps that are merged into a weight are named; where there are none, both sides are one', async () => {
  const [quantizer] = QUANTIZERS;
  const named = (await observe('composed', MAPS, quantizer!)).slice(0, LINEARS.length);
  assert.deepEqual(
    named.map(({ linear, rotation }) => `${linear} ${rotation.join(' ')}`),
    ['q R1 S', 'k R1 S', 'v R1 S R2', 'o R1 R2', 'gate R1', 'up R1', 'down R1'],
  );
  for (const { rotation, before, after } of await observe(
    'composed',
    { value: { kind: 'heads' } },
    quantizer!,
  ))
    if (rotation.length === 0) assert.deepEqual(after, before);
    else assert.notDeepEqual(after, before);
});

test('a shift changes no kurtosis; of equal values it is 0', () => {
  const sums = (values: readonly number[]) =>
    [1, 2, 3, 4].map((power) => values.reduce((sum, value) => sum + value ** power, 0));
  const values = [1, 2, 2, 3, 9];
  const shifted = values.map((value) => value + 4);
  // Small whole numbers: every sum is exact.
  assert.ok(Math.abs(kurtosisOf(sums(values), 5) - kurtosisOf(sums(shifted), 5)) < 1e-12);
  assert.equal(kurtosisOf(sums([2, 2, 2]), 3), 0);
});
