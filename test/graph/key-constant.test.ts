/** Keys whose constant part is not in their codes: attention is that over the keys with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cachedAttention } from '../../src/engine/graph/fused/cached-attention.ts';
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import {
  constantPart,
  type RotaryTables,
  rotaryConstant,
} from '../../src/engine/graph/fused/key-constant.ts';
import { packCache } from '../../src/engine/graph/fused/pack-cache.ts';
import { packedAttention } from '../../src/engine/graph/fused/packed-attention.ts';
import { rotaryEmbedding } from '../../src/engine/graph/fused/rotary.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { add, sub } from '../../src/engine/graph/ops/elementwise.ts';
import { expand, reshape, slice } from '../../src/engine/graph/ops/shape.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { elementCount } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';

const [GROUPS, REPEATS, PAST, ROWS, WIDTH] = [2, 3, 21, 3, 8];
const KEYS = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };
const VALUES = { ...KEYS, includeZero: false };
const MASK = { scale: 0.3, rows: ROWS, window: 0 };

/** Tables of PAST + ROWS positions. */
function tablesOf(graph: Graph): RotaryTables {
  const dims = [PAST + ROWS, WIDTH / 2];
  const angles = Array.from({ length: dims[0]! * dims[1]! }, (_, i) => {
    return Math.floor(i / dims[1]!) / 10 ** (i % dims[1]!);
  });
  return { cos: graph.reals(dims, angles.map(Math.cos)), sin: graph.reals(dims, angles.map(Math.sin)) };
}

const ofTokens = ({ cos, sin }: RotaryTables, first: number, count: number): RotaryTables => ({
  cos: slice(cos, 0, first, first + count),
  sin: slice(sin, 0, first, first + count),
});

/** Attention over codes, and over the numbers that they and the constant part stand for. */
function both(graph: Graph): Record<'packed' | 'plain', Value> {
  const tensor = (seed: number, ...dims: number[]): Value =>
    graph.reals(dims, Array.from({ length: elementCount(dims) }, noise(seed)));
  const tables = tablesOf(graph);
  const [map, b] = [planHadamard(WIDTH), tensor(1, GROUPS, WIDTH)];
  const q = tensor(2, 1, GROUPS, REPEATS * ROWS, WIDTH);
  const part = (seed: number, first: number, count: number) => {
    const [k, v] = [tensor(seed, 1, GROUPS, count, WIDTH), tensor(seed + 1, 1, GROUPS, count, WIDTH)];
    const turned = ofTokens(tables, first, count);
    const left = hadamard(sub(k, rotaryConstant(b, k, turned)), map);
    const constant = rotaryEmbedding(
      expand(reshape(b, [1, GROUPS, 1, WIDTH]), [1, GROUPS, count, WIDTH]),
      turned.cos,
      turned.sin,
    );
    // The transform is its own inverse.
    return {
      packed: { keys: packCache(left, KEYS, 'keys'), values: packCache(v, VALUES, 'values') },
      keys: add(hadamard(fakeQuantize(left, KEYS), map), constant),
      values: fakeQuantize(v, VALUES),
    };
  };
  const [past, own] = [part(3, 0, PAST), part(5, PAST, ROWS)];
  const length = graph.ints([PAST]);
  const forms = { keys: KEYS, values: VALUES };
  const constant = constantPart(q, b, tables, MASK.scale);
  return {
    packed: packedAttention(hadamard(q, map), own.packed, { ...past.packed, length }, forms, MASK, constant),
    plain: cachedAttention(q, own.keys, own.values, { keys: past.keys, values: past.values, length }, MASK),
  };
}

for (const kernels of KERNELS)
  test(`attention adds the constant part of the keys (${kernels} kernels)`, async () => {
    const runtime = await createRuntime({ kernels, threads: 1 });
    const graph = new Graph();
    const program = await Program.compile<Record<'packed' | 'plain', { data: Float32Array }>>(
      runtime,
      graph,
      both(graph),
    );
    const { packed, plain } = await program.run({});
    program.release();
    runtime.close();
    assert.equal(packed.data.length, GROUPS * REPEATS * ROWS * WIDTH);
    // Scores are sums of up to 24 products below 4 in size, each rounded a few times on the way through the transforms:
    // 24 · 4 · 8 roundings, twice in a probability.
    const allowed = 2 * 24 * 4 * 8 * 2 ** -24;
    for (const [i, value] of packed.data.entries())
      assert.ok(Math.abs(value - plain.data[i]!) < allowed, `${i}: ${value} for ${plain.data[i]}`);
    const spread = Math.max(...plain.data) - Math.min(...plain.data);
    assert.ok(spread > 0.1, `${spread}`);
  });
