/** Cases of twins.test.ts: packed keys and values. */

import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import { PackCache, packCache } from '../../src/engine/graph/fused/pack-cache.ts';
import { type CacheForms, packedAttention } from '../../src/engine/graph/fused/packed-attention.ts';
import { RotaryHeads } from '../../src/engine/graph/fused/rotary-heads.ts';
import { type Attributes, apply, type Value } from '../../src/engine/graph/graph.ts';
import { toReal } from '../../src/engine/graph/ops/shape.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import type { Twin } from './twin.ts';

const KEYS = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };
const VALUES = { bits: 4, symmetric: false, group: 0, clipRatio: 0.95, lowerRatio: 0.8, includeZero: false };
const EIGHT = { bits: 8, symmetric: false, group: 0, clipRatio: 1, includeZero: false };
const SYMMETRIC = { bits: 4, symmetric: true, group: 6, clipRatio: 0.9, includeZero: false };

/** Packed rows and their scales, in one tensor. */
const packing = (
  quantizer: typeof KEYS,
  role: 'keys' | 'values',
  dims: readonly number[],
  of: 'codes' | 'scales',
): Twin => ({
  dims: [dims],
  build: (_g, [x]) => toReal(packCache(x!, quantizer, role)[of]),
  roundings: 0,
  forwardOnly: true,
});

interface Shape {
  readonly lead: readonly number[];
  readonly repeats: number;
  readonly rows: number;
  readonly capacity: number;
  readonly length: number;
  readonly width: number;
  readonly window?: number;
  readonly terms?: number;
}

/** Queries, new keys and values, those of the cache, and what a constant part has. */
function attention(shape: Shape, keys: typeof KEYS, values: typeof KEYS): Twin {
  const { lead, repeats, rows, capacity, length, width, window = 0, terms = 0 } = shape;
  const heads = (count: number, size = width): number[] => [...lead, count, size];
  const constant = terms > 0 ? [heads(repeats * rows, terms), [length + rows, terms]] : [];
  return {
    dims: [heads(repeats * rows), heads(rows), heads(rows), heads(capacity), heads(capacity), ...constant],
    build(g, [q, k, v, pastKeys, pastValues, coefficients, table]) {
      const packed = (x: Value, y: Value) => ({
        keys: packCache(x, keys, 'keys'),
        values: packCache(y, values, 'values'),
      });
      const past = { ...packed(pastKeys!, pastValues!), length: g.ints([length]) };
      const forms: CacheForms = { keys, values };
      const mask = { scale: 0.5, rows, window };
      const part = coefficients && table ? { coefficients, table } : null;
      return packedAttention(q!, packed(k!, v!), past, forms, mask, part);
    },
    // As for CachedAttention, with sums that are up to four times as large (test/native/packed-attention.test.ts).
    roundings: 4 * 64,
    forwardOnly: true,
  };
}

/** Rows [2·5, 3·h] of two sequences, with RoPE and a transform of heads. */
const turned = (
  width: number,
  block: number,
  build: (inputs: Value[], attributes: Attributes) => Value,
): Twin => ({
  dims: [
    [10, 3 * width],
    [5, width / 2],
    [5, width / 2],
  ],
  build(_g, inputs) {
    const shape = { heads: 3, tokens: 5 };
    if (block === 0) return build(inputs, shape);
    const { node } = hadamard(inputs[0]!, planHadamard(block));
    return build([...inputs, ...node!.inputs.slice(1)], { ...shape, ...node!.attributes });
  },
  // Three roundings of products of at most 1, and a sum of `block` terms.
  roundings: 8 + block,
  forwardOnly: true,
});

/** Packs turned rows. No value lies so near a tie that bodies round it to other codes. */
const packedRows = (width: number, block: number): Twin => ({
  ...turned(width, block, ([x, ...rest], attributes) => {
    const form = packCache(x!, KEYS, 'keys').codes.node!.attributes;
    return toReal(x!.graph.apply(PackCache, [x!, ...rest], { ...form, ...attributes })[0]!);
  }),
  roundings: 0,
});

const joined = (shape: Shape): Twin => {
  const twin = attention(shape, KEYS, VALUES);
  return {
    ...twin,
    build(graph, inputs) {
      const { node } = twin.build(graph, inputs);
      return apply(node!.op, node!.inputs, { ...node!.attributes, joined: 1 });
    },
  };
};

export const PACKED_CACHE_TWINS: Readonly<Record<string, Twin>> = {
  'PackCache, codes of keys': packing(KEYS, 'keys', [2, 3, 19, 12], 'codes'),
  'PackCache, codes of values': packing(VALUES, 'values', [5, 33, 10], 'codes'),
  'PackCache, scales': packing(VALUES, 'values', [5, 33, 10], 'scales'),
  'PackCache, 8 bits': packing(EIGHT, 'keys', [2, 16, 9], 'codes'),
  'PackCache, symmetric groups': packing(SYMMETRIC, 'values', [3, 4, 18], 'codes'),
  'PackCache, rows with RoPE and a transform': packedRows(24, 12),
  'PackCache, rows with RoPE': packedRows(10, 0),
  'RotaryHeads, with a transform': turned(24, 24, (inputs, attributes) =>
    apply(RotaryHeads, inputs, { ...attributes, groups: 3 }),
  ),
  'RotaryHeads, odd width': turned(10, 0, (inputs, attributes) =>
    apply(RotaryHeads, inputs, { ...attributes, groups: 1 }),
  ),
  'PackedAttention, heads joined': joined({
    lead: [2, 3],
    repeats: 2,
    rows: 3,
    capacity: 20,
    length: 9,
    width: 6,
  }),
  PackedAttention: attention(
    { lead: [2], repeats: 2, rows: 3, capacity: 23, length: 21, width: 8 },
    KEYS,
    VALUES,
  ),
  'PackedAttention, one token, 8 bits': attention(
    { lead: [2, 3], repeats: 3, rows: 1, capacity: 16, length: 9, width: 5, window: 4 },
    EIGHT,
    { ...SYMMETRIC, group: 0 },
  ),
  'PackedAttention, constant part': attention(
    { lead: [2, 2], repeats: 2, rows: 4, capacity: 20, length: 18, width: 6, terms: 6 },
    SYMMETRIC,
    EIGHT,
  ),
};
