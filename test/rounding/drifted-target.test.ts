/** GPTQ for weights that give the full-precision outputs on drifted inputs, against double precision and whole layers. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Drift } from '../../src/engine/calibration/drift.ts';
import { concatenate } from '../../src/engine/calibration/tokens.ts';
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { layerExpression } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION, type LayerQuantizers, quantizerAt } from '../../src/engine/network/layer-shape.ts';
import { seenByReaders } from '../../src/engine/network/linear-sites.ts';
import { DEFAULT_MEMORY } from '../../src/engine/network/memory-plan.ts';
import type { Activations, Network } from '../../src/engine/network/network.ts';
import { preparedTensors } from '../../src/engine/network/rounded-weights.ts';
import { DriftedTarget } from '../../src/engine/rounding/gptq/drifted-target.ts';
import { LayerRounder } from '../../src/engine/rounding/gptq/layer-rounder.ts';
import { roundWeights } from '../../src/engine/rounding/gptq/round-weights.ts';
import { solveWithFactor } from '../../src/engine/rounding/gptq/solve.ts';
import { reverseFactor } from '../../src/engine/rounding/reverse-cholesky.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { type MatrixRounder, walkLayers } from '../../src/engine/rounding/walk/walk-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { LINEARS, type Site } from '../../src/protocol/block.ts';
import { float32, zeros } from '../../src/protocol/tensor.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';
import { damped, inverse, secondMoment } from './textbook.ts';

const GOLDEN = join(import.meta.dirname, '..', 'goldens', 'models', 'llama');
const SEQUENCE = 24;
/** Half a unit in the last place of 1 in float32. */
const ROUNDING = 2 ** -24;
/** Products of two pieces each, where the processor has tiles. */
const IN_PIECES = 3 * 2 ** -16;

async function cacheOf(t: TestContext, kernels: (typeof KERNELS)[number]) {
  const runtime = await createRuntime({ kernels, threads: 1 });
  const cache = new ProgramCache(runtime);
  t.after(async () => {
    await cache.release();
    runtime.close();
  });
  return cache;
}

/** A B [m, n] of A [m, k] and B [k, n] in double precision. */
function product(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  [m, k, n]: [number, number, number],
): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) for (let j = 0; j < n; j++) c[i * n + j]! += a[i * k + p]! * b[p * n + j]!;
  return c;
}

const norm = (a: ArrayLike<number>): number => Math.hypot(...Array.from(a));
const drawn = (size: number, seed: number): Float32Array => {
  const random = noise(seed);
  return Float32Array.from({ length: size }, random);
};

for (const kernels of KERNELS) {
  test(`${kernels}: solving with the factor leaves no more than rounding does`, async (t) => {
    const cache = await cacheOf(t, kernels);
    for (const [m, n] of [
      [1, 1],
      [3, 5],
      [7, 128],
      [4, 300],
    ] as const) {
      const random = noise(n);
      const factor = new Float32Array(n * n);
      // What stands beside the diagonal of a row sums to at most a half of it: ‖T⁻¹‖ ‖T‖ is at most 2 · 3.
      for (let i = 0; i < n; i++)
        for (let j = 0; j <= i; j++) factor[i * n + j] = i === j ? 1.5 + 0.5 * random() : random() / (2 * n);
      const y = drawn(m * n, m + n);
      const rest = float32([m, n], y.slice());
      const z = await solveWithFactor(cache, rest, factor, zeros('float32', [m, n]) as typeof rest);
      const turned = Float32Array.from(factor, (_, at) => factor[(at % n) * n + Math.floor(at / n)]!);
      const back = product(product(z.data, turned, [m, n, n]), factor, [m, n, n]);
      const off = norm(back.map((value, at) => value - y[at]!));
      // Two solutions, each with sums of at most n products and the inverse of a diagonal block.
      const allowed = 2 * 6 * (2 * n + 4) * ROUNDING * norm(z.data) * 9;
      assert.ok(off <= allowed, `[${m}, ${n}]: ${off}, not ${allowed}`);
    }
  });

  test(`${kernels}: a drift is the sum of loops`, async (t) => {
    const cache = await cacheOf(t, kernels);
    const n = 13;
    const drift = new Drift(cache, n);
    const parts = [5, 31].map(
      (tokens) => [drawn(tokens * n, tokens), drawn(tokens * n, tokens + 1)] as const,
    );
    for (const [exact, rows] of parts) {
      const dims = [exact.length / n, n];
      const own = float32(dims, rows);
      await drift.add({ exact: float32(dims, exact), own, read: own });
    }
    const share = 40 * ROUNDING + (cache.runtime.multipliesBfloat16 ? IN_PIECES : 0);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        let [wanted, size] = [0, 0];
        for (const [exact, rows] of parts)
          for (let at = 0; at < exact.length; at += n) {
            const term = (exact[at + i]! - rows[at + i]!) * rows[at + j]!;
            wanted += term;
            size += Math.abs(term);
          }
        assert.ok(Math.abs(drift.sum.data[i * n + j]! - wanted) <= share * size, `[${i}, ${j}]`);
      }
  });

  test(`${kernels}: a drift of the residual is the sum of loops`, async (t) => {
    const cache = await cacheOf(t, kernels);
    const [m, n, tokens] = [5, 13, 31];
    const [exact, own, read] = [drawn(tokens * m, 1), drawn(tokens * m, 2), drawn(tokens * n, 3)];
    const drift = new Drift(cache, n, m);
    const rows = { exact: float32([tokens, m], exact), own: float32([tokens, m], own) };
    for (const _ of [1, 2]) await drift.add({ ...rows, read: float32([tokens, n], read) });
    const share = 2 * tokens * ROUNDING + (cache.runtime.multipliesBfloat16 ? IN_PIECES : 0);
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let [wanted, size] = [0, 0];
        for (let token = 0; token < tokens; token++) {
          const term = 2 * (exact[token * m + i]! - own[token * m + i]!) * read[token * n + j]!;
          wanted += term;
          size += Math.abs(term);
        }
        assert.ok(Math.abs(drift.sum.data[i * n + j]! - wanted) <= share * size, `[${i}, ${j}]`);
      }
  });

  test(`${kernels}: the target is W + (W D + E) (H + λI)⁻¹, whatever the order`, async (t) => {
    const cache = await cacheOf(t, kernels);
    const [rows, n] = [6, 20];
    const [h, d, w] = [secondMoment(n, 90, 3), drawn(n * n, 5), drawn(rows * n, 7)];
    const e = drawn(rows * n, 9);
    const whole = damped(h, n);
    const solved = inverse(whole, n);
    const without = product(product(w, d, [rows, n, n]), solved, [rows, n, n]);
    const ofResidual = product(e, solved, [rows, n, n]);
    const both = without.map((value, at) => value + ofResidual[at]!);
    // The error of a solution is the condition number times that of the residual.
    const allowed =
      norm(whole) * norm(solved) * 8 * (2 * n + 4) * ROUNDING * (norm(without) + norm(ofResidual));
    const orders = [null, Int32Array.from({ length: n }, (_, i) => (i * 7) % n)];
    for (const [order, expected] of orders.flatMap((order) => [
      [order, without] as const,
      [order, both] as const,
    ])) {
      const place = (at: number): number => (order ? order[Math.floor(at / n)]! * n + order[at % n]! : at);
      const ordered = float32(
        [n, n],
        Float32Array.from(h, (_, at) => h[place(at)]!),
      );
      const t = await reverseFactor(cache, ordered, 0.01, zeros('float32', [n, n]) as typeof ordered);
      const drift = new Drift(cache, n);
      drift.sum.data.set(d);
      const residualDrift = expected === both ? new Drift(cache, n, rows) : null;
      residualDrift?.sum.data.set(e);
      const target = await DriftedTarget.of(cache, { drift, residualDrift }, { t, order });
      const found = await target.weights(float32([rows, n], w));
      const off = norm(found.data.map((value, at) => value - w[at]! - expected[at]!));
      assert.ok(off <= allowed && allowed < 0.1 * norm(expected), `${order}: ${off}, not ${allowed}`);
    }
  });

  test(`${kernels}: every target, stopped between layers, goes on to the same bits`, async (t) => {
    const cache = await cacheOf(t, kernels);
    const checkpoint = await openCheckpoint(GOLDEN);
    const folder = await mkdtemp(join(tmpdir(), 'targets-test-'));
    t.after(() => rm(folder, { recursive: true }));
    const make = (quantizers: LayerQuantizers): Network =>
      rotatedNetwork(cache, checkpoint, { mode: 'merged', quantizers, memory: DEFAULT_MEMORY }).network;
    const [network, exact] = [make(QUANTIZED), make(FULL_PRECISION)];
    const blocks = differentWindows(checkpoint.config, 7, SEQUENCE);
    const found: Int8Array[] = [];
    for (const target of ['outputs', 'qronos', 'gptaq'] as const) {
      const sweeps = target === 'gptaq' ? 1 : 0;
      const options = { ...PLAIN_GPTQ, damping: 0.1, actOrder: true, target, sweeps };
      const layersIn = (name: string) => new RoundedLayers(join(folder, target + name), 'key');
      const run = (layers: RoundedLayers) => roundWeights(cache, { network, exact, blocks, options, layers });
      const [whole, stopped] = [layersIn('whole'), layersIn('stopped')];
      for await (const _ of run(whole));
      for await (const event of run(stopped)) if (event.type === 'rounding') break;
      for await (const _ of run(stopped));
      for (let layer = 0; layer < network.layers; layer++)
        assert.deepEqual(stopped.read(layer), whole.read(layer), target);
      const down = whole.read(network.layers - 1).down;
      assert.ok('codes' in down);
      for (const other of found) assert.notDeepEqual(down.codes, other);
      found.push(down.codes);
    }
  });

  test(`${kernels}: moments and drifts are those of both networks in whole layers`, async (t) => {
    await againstWholeLayers(t, kernels);
  });
}

const A4 = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: false } as const;
const QUANTIZED: LayerQuantizers = {
  weights: { bits: 4, symmetric: true, group: 0, clipSearch: true },
  input: A4,
  outputInput: { ...A4, group: 8 },
  downInput: A4,
  keys: A4,
  values: A4,
};

interface Seen {
  readonly sum: Float32Array;
  readonly drift: Float32Array;
  readonly residualDrift: Float32Array | null;
}

/** The residual that a linear layer writes to. */
const RESIDUALS = { o: 'x', down: 'attended' } as const;
const SITES = { q: 'attention-input', o: 'o-input', gate: 'mlp-input', down: 'down-input' } as const;

async function againstWholeLayers(t: TestContext, kernels: (typeof KERNELS)[number]): Promise<void> {
  const cache = await cacheOf(t, kernels);
  const checkpoint = await openCheckpoint(GOLDEN);
  const folder = await mkdtemp(join(tmpdir(), 'drift-test-'));
  t.after(() => rm(folder, { recursive: true }));
  const memory = { ...DEFAULT_MEMORY, tokensAtOnce: 3 * SEQUENCE };
  const make = (quantizers: LayerQuantizers): Network =>
    rotatedNetwork(cache, checkpoint, { mode: 'merged', quantizers, memory }).network;
  const [network, exact] = [make(QUANTIZED), make(FULL_PRECISION)];
  const inner = new LayerRounder(cache, network, {
    ...PLAIN_GPTQ,
    damping: 0.1,
    actOrder: true,
    target: 'residual',
  });
  const seen = new Map<string, Seen>();
  const rounder: MatrixRounder = {
    round(layer, linears, moment, signal) {
      const [sum, drift] = [moment.sum.data.slice(), moment.drift!.sum.data.slice()];
      const residualDrift = moment.residualDrift?.sum.data.slice() ?? null;
      seen.set(`${layer} ${linears[0]}`, { sum, drift, residualDrift });
      return inner.round(layer, linears, moment, signal);
    },
  };
  const blocks = differentWindows(checkpoint.config, 7, SEQUENCE);
  const layers = new RoundedLayers(folder, 'key');
  for await (const _ of walkLayers(cache, {
    network,
    exact,
    seesResidual: true,
    blocks,
    method: 'gptq',
    rounder,
    layers,
  }));
  const rounded = (layer: number) =>
    Object.assign({}, ...LINEARS.map((linear) => preparedTensors(linear, layers.read(layer)[linear], false)));
  const own = await wholeLayers(cache, network, blocks, rounded);
  const full = await wholeLayers(cache, exact, blocks, (layer) =>
    exact.weights(layer, { batch: 1, sequence: 1 }),
  );
  for (let layer = 0; layer < network.layers; layer++)
    for (const [linear, site] of Object.entries(SITES)) {
      const found = seen.get(`${layer} ${linear}`)!;
      compare(found, full[layer]![site]!, own[layer]![site]!, `layer ${layer}, ${linear}`);
      const residual = RESIDUALS[linear as keyof typeof RESIDUALS];
      assert.equal(found.residualDrift === null, residual === undefined);
      if (residual && found.residualDrift) {
        const rows = {
          exact: full[layer]![residual]!,
          own: own[layer]![residual]!,
          read: own[layer]![site]!,
        };
        const wanted = driftOf(rows, checkpoint.config.hiddenSize);
        // Nothing has drifted before the first layer.
        if (layer === 0 && linear === 'o') assert.equal(norm(wanted) + norm(found.residualDrift), 0);
        else assert.ok(share(found.residualDrift, wanted) < 0.05, `layer ${layer}, ${linear}: the residual`);
      }
    }
  // Weights before the first rounded one are those of full precision: only activations drift there.
  const { drift, sum } = seen.get('0 q')!;
  assert.ok(norm(drift) > 0 && norm(drift) < 0.1 * norm(sum));
}

/** Rows that differ by a rounding decision are as far apart as a step of the quantizer: few may be. */
function compare({ sum, drift }: Seen, exact: Float32Array, rows: Float32Array, what: string): void {
  const n = Math.sqrt(sum.length);
  const nothing = new Float32Array(rows.length);
  const moment = driftOf({ exact: rows, own: nothing, read: rows }, n);
  const moved = driftOf({ exact, own: rows, read: rows }, n);
  assert.ok(share(sum, moment) < 0.02, `${what}: moments ${share(sum, moment)}`);
  assert.ok(share(drift, moved) < 0.05, `${what}: drift ${share(drift, moved)}`);
}

/** ‖found − wanted‖ / ‖wanted‖. */
const share = (found: Float32Array, wanted: Float64Array): number =>
  norm(found.map((value, at) => value - wanted[at]!)) / norm(wanted);

/** Σ (exact − own)ᵀ read [m, n] in double precision. */
function driftOf(
  { exact, own, read }: Readonly<Record<'exact' | 'own' | 'read', Float32Array>>,
  m: number,
): Float64Array {
  const tokens = exact.length / m;
  const n = read.length / tokens;
  const sum = new Float64Array(m * n);
  for (let token = 0; token < tokens; token++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++)
        sum[i * n + j]! += (exact[token * m + i]! - own[token * m + i]!) * read[token * n + j]!;
  return sum;
}

/** What products read in each layer, with all of a layer in one graph. */
async function wholeLayers(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  weights: (layer: number) => Promise<object> | object,
): Promise<Record<string, Float32Array>[]> {
  const batch = { batch: blocks.length, sequence: SEQUENCE };
  let x: Activations = await network.embed(concatenate(blocks));
  const found: Record<string, Float32Array>[] = [];
  for (let layer = 0; layer < network.layers; layer++) {
    const { shape, types, tensors } = network.layerContext(layer, batch);
    const plain = { ...shape, weightForm: 'numbers' as const };
    const seen = new Map<Site, Value>();
    const { graph, y, inputs, kept } = layerExpression(
      plain,
      types,
      'merged',
      false,
      'float32',
      (site, value) => seen.set(site, value),
    );
    const reads = Object.values(SITES).map((site) => {
      const rows = seenByReaders(inputs, site, seen.get(site)!);
      const quantizer = quantizerAt(site, plain.quantizers);
      return [site, quantizer ? fakeQuantize(rows, quantizer) : rows] as const;
    });
    const program = await Program.compile(cache.runtime, graph, {
      ...Object.fromEntries(reads),
      attended: kept.get('attended')!,
      y,
    });
    const given = { ...tensors, ...network.maps(layer), ...(await weights(layer)), x };
    const out = (await program.run(given)) as Record<string, Activations>;
    found.push(Object.fromEntries(Object.entries({ ...out, x }).map(([name, { data }]) => [name, data])));
    x = out.y!;
    program.release();
  }
  return found;
}
