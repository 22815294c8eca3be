/** Balanced scales of keys against queries: those of loops, and the function of the network stays in every form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import type { Reals } from '../../src/engine/graph/program.ts';
import { ProgramCache, type ProgramKind } from '../../src/engine/graph/program-cache.ts';
import { method } from '../../src/engine/methods/balance.ts';
import { openCheckpoint, withKeyMeans } from '../../src/engine/model/checkpoint.ts';
import { layerExpression } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { rejectsWith } from '../formats/support.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { scalesBy } from '../helpers/scaling.ts';
import { noise } from '../helpers/tiny-network.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

const OPTIONS = { values: false, keys: true, norms: false, samples: 2 };
const PLAIN = { mode: 'plain', maps: NO_MAPS, quantizers: FULL_PRECISION, centreEmbedding: false } as const;

type Spec = Pick<ReturnType<Network['layerContext']>, 'shape' | 'types'>;

/** Queries and keys before RoPE, with their bias. */
const SEEN: ProgramKind<Spec, Record<'queries' | 'keys', Reals>> = {
  name: 'seen-by-balanced-keys',
  build({ shape, types }) {
    const { graph, kept } = layerExpression(shape, types, 'plain', false);
    return { graph, outputs: { queries: kept.get('q')!, keys: kept.get('k')! } };
  },
};

async function bench(name: string, meansOfKeys = false) {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  const opened = await openCheckpoint(goldenFolder(name));
  const { config } = opened;
  const width = config.kvHeads * config.headDim;
  const means = Array.from({ length: config.layers }, (_, layer) =>
    float32([1, width], Float32Array.from({ length: width }, noise(layer + 1))),
  );
  const checkpoint = meansOfKeys ? withKeyMeans(opened, means) : opened;
  const network = new Network(cache, checkpoint, PLAIN);
  const blocks = differentWindows(config, 2, 12);
  const scales = () =>
    scalesBy(method, { cache, network, maps: NO_MAPS, state: {}, blocks, options: OPTIONS });
  const close = async () => {
    await cache.release();
    runtime.close();
  };
  return { cache, checkpoint, config, network, blocks, means, scales, close };
}

/** Σ k²/‖k‖² of pairs, over tokens, of the rows of one head. */
function keyPairs(rows: readonly number[][]): Float64Array {
  const half = rows[0]!.length / 2;
  const found = new Float64Array(half);
  for (const row of rows) {
    const square = row.reduce((sum, x) => sum + x * x, 0);
    for (const [i, x] of row.entries()) found[i % half]! += x ** 2 / square;
  }
  return found;
}

/** The rows of a head of `heads`, without what is taken out of them. */
function rowsOf(
  parts: readonly Float32Array[],
  [head, heads, headDim]: readonly [number, number, number],
  taken: ArrayLike<number> | null = null,
): number[][] {
  return parts.flatMap((rows) =>
    Array.from({ length: rows.length / (heads * headDim) }, (_, token) =>
      Array.from(
        { length: headDim },
        (_, i) => rows[(token * heads + head) * headDim + i]! - (taken?.[head * headDim + i] ?? 0),
      ),
    ),
  );
}

/** The formula in loops over tokens, heads and pairs, for what was seen in the first layer. */
function inLoops(
  { q, k }: Readonly<Record<'q' | 'k', readonly Float32Array[]>>,
  taken: ArrayLike<number> | null,
  { heads, kvHeads, headDim }: { heads: number; kvHeads: number; headDim: number },
): number[] {
  const [half, perGroup] = [headDim / 2, heads / kvHeads];
  return Array.from({ length: kvHeads }, (_, group) => {
    const keys = keyPairs(rowsOf(k, [group, kvHeads, headDim], taken));
    const queries = new Float64Array(half);
    for (let head = group * perGroup; head < (group + 1) * perGroup; head++)
      for (const row of rowsOf(q, [head, heads, headDim]))
        for (const [i, x] of row.entries()) queries[i % half]! += x ** 2;
    const logs = Array.from(keys, (x, p) => Math.log(queries[p]! / x) / 4);
    const mean = logs.reduce((sum, log) => sum + log, 0) / half;
    return Array.from({ length: headDim }, (_, i) => Math.exp(logs[i % half]! - mean));
  }).flat();
}

const LLAMA = GOLDEN_NAMES.find((name) => name.startsWith('llama'))!;
const BIASED = GOLDEN_NAMES.find((name) => name.startsWith('qwen2'))!;

for (const [what, name, hasMeans] of [
  ['keys', LLAMA, false],
  ['keys without their bias', BIASED, false],
  ['keys without their mean', BIASED, true],
] as const)
  test(`scales of ${what} are those of loops`, async () => {
    const { cache, checkpoint, config, network, blocks, means, scales, close } = await bench(name, hasMeans);
    const found = (await scales())['query-key-scale']!;
    assert.equal(found.length, config.layers);
    const seen: Record<'q' | 'k', Float32Array[]> = { q: [], k: [] };
    for (const ids of blocks) {
      const { shape, types, tensors } = network.layerContext(0, { batch: 1, sequence: ids.length });
      const program = await cache.get(SEEN, { shape, types });
      const { queries, keys } = await program.run({ ...tensors, x: await network.embed(ids) });
      seen.q.push(queries.data);
      seen.k.push(keys.data);
    }
    const { kBias } = checkpoint.layer(0);
    const taken = hasMeans ? means[0]!.data : kBias ? toFloat32(kBias) : null;
    assert.equal(taken === null, name === LLAMA);
    const expected = inLoops(seen, taken, config);
    // Squares of keys, of which half the size may be taken out, and their shares, in float32: a quarter of what is off there.
    const bound = (config.headDim + 24) * 2 ** -24;
    found[0]!.forEach((scale, i) => {
      assert.ok(Math.abs(scale / expected[i]! - 1) <= bound, `${i}: ${scale}, ${expected[i]}`);
    });
    assert.ok(found[0]!.some((scale) => Math.abs(scale - 1) > 0.05));
    await close();
  });

test('both channels that RoPE turns into each other have one scale', async () => {
  const { config, scales, close } = await bench(LLAMA);
  const [own] = (await scales())['query-key-scale']!;
  const { headDim } = config;
  for (let i = 0; i < own!.length; i++) {
    const inHead = i % headDim;
    const other = inHead < headDim / 2 ? i + headDim / 2 : i - headDim / 2;
    assert.equal(own![i], own![other]);
  }
  await close();
});

for (const mode of ['merged', 'unrotated'] as const)
  test(`the ${mode} network computes what it did`, async () => {
    for (const name of [LLAMA, BIASED]) {
      const { cache, checkpoint, scales, close } = await bench(name);
      const golden = readGolden(name);
      const state = { 'query-key-scale': (await scales())['query-key-scale']! };
      const maps = { 'query-key-scale': { kind: 'diagonal' } } as const;
      const network = new Network(cache, checkpoint, { ...PLAIN, mode, maps });
      network.setMaps(state);
      const logits = await sequenceLogits(network, Int32Array.from(golden.ids));
      const expected = golden.logits.flat();
      // As for all maps at their seams: terms keep their size, factors round once more.
      const bound = 4 * golden.float32MaxDifference;
      logits.forEach((value, i) => {
        assert.ok(Math.abs(value - expected[i]!) <= bound, `${name}: ${value}, ${expected[i]}`);
      });
      await close();
    }
  });

test('norms of heads are no place for scales, which is said', async () => {
  const { scales, close } = await bench(GOLDEN_NAMES.find((name) => name.startsWith('qwen3'))!);
  await rejectsWith(scales, 'scaling/head-norms', /norms of queries and keys/);
  await close();
});
