/** Cases of twins.test.ts: packed keys and values. */

import { packCache } from '../../src/engine/graph/fused/pack-cache.ts';
import { type CacheForms, packedAttention } from '../../src/engine/graph/fused/packed-attention.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import { toReal } from '../../src/engine/graph/ops/shape.ts';
import type { Twin } from './twin.ts';

const KEYS = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };
const VALUES = { bits: 4, symmetric: false, group: 0, clipRatio: 0.95, includeZero: false };
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

export const PACKED_CACHE_TWINS: Readonly<Record<string, Twin>> = {
  'PackCache, codes of keys': packing(KEYS, 'keys', [2, 3, 19, 12], 'codes'),
  'PackCache, codes of values': packing(VALUES, 'values', [5, 33, 10], 'codes'),
  'PackCache, scales': packing(VALUES, 'values', [5, 33, 10], 'scales'),
  'PackCache, 8 bits': packing(EIGHT, 'keys', [2, 16, 9], 'codes'),
  'PackCache, symmetric groups': packing(SYMMETRIC, 'values', [3, 4, 18], 'codes'),
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
