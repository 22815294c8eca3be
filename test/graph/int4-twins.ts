/** Cases of twins.test.ts: weights of 4 bits. */
import { int4MatMul, packInt4 } from '../../src/engine/graph/fused/int4-matmul.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import { add, maximum, minimum, round, scale } from '../../src/engine/graph/ops/elementwise.ts';
import { cast, toReal } from '../../src/engine/graph/ops/shape.ts';
import type { Twin } from './twin.ts';

const perToken = { symmetric: false, group: 0, clipRatio: 1, includeZero: true };

/** Codes of a byte from numbers in −1 … 1, and scales with which weights are at most 1. */
function int4Codes(w: Value, s: Value, unsigned: boolean) {
  const { graph } = w;
  const within = (value: Value, low: number, high: number): Value =>
    maximum(minimum(round(value), graph.scalar(high)), graph.scalar(low));
  const codes = unsigned ? within(add(scale(w, 8), graph.scalar(8)), 0, 15) : within(scale(w, 8), -8, 7);
  const zeros = unsigned ? within(add(scale(s, 3), graph.scalar(8)), 0, 15) : null;
  return { codes: cast(codes, 'int8'), scales: scale(s, 1 / 16), zeros };
}

export const INT4_TWINS: Readonly<Record<string, Twin>> = {
  // As many roundings as Int4MatMul has for its groups, of sums as large as the range of x times 96 weights of at most
  // 1; and of the twin's sum over 96 products of at most 1.1.
  ...Object.fromEntries(
    [
      { group: 0, unsigned: false, bits: 8, symmetric: false },
      { group: 32, unsigned: true, bits: 8, symmetric: false },
      { group: 24, unsigned: false, bits: 8, symmetric: true },
      { group: 48, unsigned: true, bits: 4, symmetric: false },
    ].map(({ group, unsigned, bits, symmetric }): [string, Twin] => [
      `Int4MatMul, groups of ${group}, ${unsigned ? 'zero points' : 'signed'}, ${bits} bits`,
      {
        dims: [
          [3, 2, 96],
          [35, 96],
          [35, group ? 96 / group : 1],
        ],
        build: (_g, [x, w, s]) =>
          int4MatMul(x!, packInt4(int4Codes(w!, s!, unsigned)), { ...perToken, bits, symmetric }),
        roundings: (96 * (96 / 2 + 3) * 1.1 + 9 * 1.1 * 2 * 96) / 2,
        forwardOnly: true,
      },
    ]),
  ),
  // The same with a scale for each span of x. Its range may leave out zero, which the kernel then adds as a product of
  // up to max |x| ≤ 1 with a sum of weights, in two roundings for each span.
  ...Object.fromEntries(
    [
      { group: 0, spans: 4, unsigned: false, bits: 8 },
      { group: 32, spans: 2, unsigned: true, bits: 4 },
      { group: 24, spans: 2, unsigned: true, bits: 8 },
    ].map(({ group, spans, unsigned, bits }): [string, Twin] => [
      `Int4MatMul, groups of ${group}, ${spans} scales of a token, ${bits} bits`,
      {
        dims: [
          [3, 2, 96],
          [35, 96],
          [35, group ? 96 / group : 1],
        ],
        build: (_g, [x, w, s]) =>
          int4MatMul(x!, packInt4(int4Codes(w!, s!, unsigned), spans), {
            ...{ ...perToken, bits, symmetric: false, group: 96 / spans, includeZero: false },
          }),
        roundings: (96 * (96 / 2 + 3) * 1.1 + (12 + 5 + spans) * (1.1 * 2 + 1) * 96) / 2,
        forwardOnly: true,
      },
    ]),
  ),
  'PackInt4, bytes': {
    dims: [
      [35, 96],
      [35, 4],
    ],
    build: (_g, [w, s]) => toReal(packInt4(int4Codes(w!, s!, true)).bytes),
    roundings: 0,
    forwardOnly: true,
  },
  // Row sums are at most 96, of four groups; each has a rounding more for its scale, and one for the result.
  'PackInt4, grid': {
    dims: [
      [35, 96],
      [35, 4],
    ],
    build: (_g, [w, s]) => packInt4(int4Codes(w!, s!, true)).grid,
    roundings: ((4 + 2) * 96) / 2,
    forwardOnly: true,
  },
};
