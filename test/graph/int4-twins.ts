/** Cases of twins.test.ts: weights of 4 bits. */
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import { Int4MatMul, int4MatMul, int4MatMuls, packInt4 } from '../../src/engine/graph/fused/int4-matmul.ts';
import { Int4MatMulAdd, SwiGluInt4MatMul } from '../../src/engine/graph/fused/int4-products.ts';
import { apply, type Node, type Value } from '../../src/engine/graph/graph.ts';
import { add, maximum, minimum, round, scale } from '../../src/engine/graph/ops/elementwise.ts';
import { cast, concat, toReal } from '../../src/engine/graph/ops/shape.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
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

/** The node of a product with one weight, for operators that take its inputs and attributes. */
function productOf(x: Value, w: Value, s: Value, unsigned: boolean): Node {
  return int4MatMul(x, packInt4(int4Codes(w, s, unsigned)), { ...perToken, bits: 8 }).node!;
}

/** Products with what stands around them. No value of theirs lies so near a tie that bodies round it to other codes. */
const JOINED: Readonly<Record<string, Twin>> = {
  // Rows of the norm reach 2 to 3, otherwise as a product alone.
  'Int4MatMul, RmsNorm and three weights': {
    dims: [
      [5, 96],
      [35, 96],
      [35, 1],
      [16, 96],
      [16, 1],
    ],
    build(graph, [x, w, s, w2, s2]) {
      const weights = [int4Codes(w!, s!, false), int4Codes(w2!, s2!, false), int4Codes(w!, s!, false)];
      const packed = weights.map((weight) => packInt4(weight));
      const { inputs, attributes } = int4MatMuls(x!, packed, { ...perToken, bits: 8 })[0]!.node!;
      const norm = { norm: 1, epsilon: { float: 1e-5 } };
      return concat(graph.apply(Int4MatMul, inputs, { ...attributes, ...norm }), 1);
    },
    roundings: (3 * (96 * (96 / 2 + 3) * 1.1 + 9 * 1.1 * 2 * 96)) / 2,
    forwardOnly: true,
  },
  Int4MatMulAdd: {
    dims: [
      [5, 96],
      [35, 96],
      [35, 1],
      [5, 35],
    ],
    build(_g, [x, w, s, y]) {
      const { inputs, attributes } = productOf(x!, w!, s!, false);
      return apply(Int4MatMulAdd, [y!, ...inputs], attributes);
    },
    roundings: (96 * (96 / 2 + 3) * 1.1 + 9 * 1.1 * 2 * 96) / 2,
    forwardOnly: true,
  },
  // Blocks of 24 are at most √24 in size.
  ...Object.fromEntries(
    [24, 0].map((block): [string, Twin] => [
      `SwiGluInt4MatMul, ${block ? `blocks of ${block}` : 'no transform'}`,
      {
        dims: [
          [5, 96],
          [5, 96],
          [35, 96],
          [35, 1],
          [5, 35],
        ],
        build(graph, [gate, up, w, s, y]) {
          const { inputs, attributes } = productOf(gate!, w!, s!, true);
          const read = [gate!, up!, ...inputs.slice(1)];
          if (block === 0) return apply(SwiGluInt4MatMul, read, attributes);
          const blocks = hadamard(gate!, planHadamard(block)).node!;
          const matrix = blocks.inputs[1] ?? graph.reals([1, 1], [1]);
          return apply(SwiGluInt4MatMul, [...read, matrix, y!], { ...attributes, ...blocks.attributes });
        },
        roundings: (5 * (96 * (96 / 2 + 3) * 1.1 + 9 * 1.1 * 2 * 96)) / 2,
        forwardOnly: true,
      },
    ]),
  ),
};

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
      { group: 48, spans: 4, unsigned: true, bits: 4 },
      { group: 32, spans: 2, unsigned: false, bits: 4 },
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
  ...JOINED,
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
  ...Object.fromEntries(
    [1, 2, 8].map((spans): [string, Twin] => [
      `PackInt4, grid for ${spans} scales of a token`,
      {
        dims: [
          [35, 96],
          [35, 4],
        ],
        build: (_g, [w, s]) => packInt4(int4Codes(w!, s!, true), spans).grid,
        roundings: ((4 + 2) * 96) / 2,
        forwardOnly: true,
      },
    ]),
  ),
};
