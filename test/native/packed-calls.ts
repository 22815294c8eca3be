/** Calls of attention over packed keys and values, for tests. */
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { fakeQuantized, pack, type Quantizer, type Tokens, withCapacity } from './packed-tokens.ts';
import { random, runOperator } from './support.ts';

export interface Shape {
  readonly groups: number;
  readonly repeats: number;
  readonly rows: number;
  readonly capacity: number;
  readonly length: number;
  readonly width: number;
  readonly window: number;
}

export const ASYMMETRIC = { bits: 4, symmetric: 0, include_zero: 1, clip_ratio: 1, group: 0 } as const;
export const VALUES = { ...ASYMMETRIC, include_zero: 0 } as const;

export interface Case {
  readonly shape: Shape;
  readonly keys: Quantizer;
  readonly values: Quantizer;
  /** Numbers of the constant part's table; 0 for none. */
  readonly terms?: number;
}

export interface Given {
  readonly attributes: Readonly<Record<string, number>>;
  readonly inputs: readonly (ProbeTensor | null)[];
  /** What the cache and the new tokens hold, as numbers. */
  readonly plain: Readonly<Record<'q' | 'keys' | 'values' | 'pastKeys' | 'pastValues', ProbeTensor>>;
}

const attributesOf = ({ rows, window, width }: Shape, keys: Quantizer, values: Quantizer) => ({
  ...{ scale: 1 / Math.sqrt(width), rows, window },
  ...{ key_bits: keys.bits, key_group: keys.group, key_zeros: keys.symmetric ? 0 : 1 },
  ...{ value_bits: values.bits, value_group: values.group, value_zeros: values.symmetric ? 0 : 1 },
});

export function given({ shape, keys, values, terms = 0 }: Case): Given {
  const { groups, repeats, rows, capacity, length, width } = shape;
  const tokens = (count: number, seed: number): Tokens => ({
    ...{ x: random(groups * count * width, seed), heads: groups, tokens: count, width },
  });
  const packed = (of: Tokens, quantizer: Quantizer, isKeys: 0 | 1, room: number) => {
    const { codes, scales } = withCapacity(pack(of, quantizer, isKeys, 'reference'), of.tokens, room);
    return [codes, scales];
  };
  const [own, past] = [
    [tokens(rows, 2), tokens(rows, 3)] as const,
    [tokens(length, 4), tokens(length, 5)] as const,
  ];
  const plain = (of: Tokens, quantizer: Quantizer): ProbeTensor => ({
    ...{ data: fakeQuantized(of, quantizer), dims: [groups, of.tokens, width] },
  });
  const q = { data: random(groups * repeats * rows * width, 1), dims: [groups, repeats * rows, width] };
  const count = { data: BigInt64Array.of(BigInt(length)), dims: [1] };
  const constant = [
    { data: random(groups * repeats * rows * terms, 6), dims: [groups, repeats * rows, terms] },
    { data: random((length + rows) * terms, 7), dims: [length + rows, terms] },
  ];
  return {
    attributes: attributesOf(shape, keys, values),
    inputs: [
      q,
      ...packed(own[0], keys, 1, rows),
      ...packed(own[1], values, 0, rows),
      ...packed(past[0], keys, 1, capacity),
      ...packed(past[1], values, 0, capacity),
      count,
      ...(terms ? constant : [null, null]),
    ],
    plain: {
      q,
      keys: plain(own[0], keys),
      values: plain(own[1], values),
      pastKeys: plain(past[0], keys),
      pastValues: plain(past[1], values),
    },
  };
}

export function run(
  { attributes, inputs }: Pick<Given, 'attributes' | 'inputs'>,
  isa: string,
  threads = 1,
): Float32Array {
  const outputs = [inputs[0]!.data.length];
  return runOperator({ name: 'PackedAttention', attributes, inputs, outputs }, isa, threads)[0]!;
}

/** True where keys and values are multiplied in whole numbers. */
export const multipliesBytes = (isa: string): boolean => isa.startsWith('avx512_') || isa === 'amx';
