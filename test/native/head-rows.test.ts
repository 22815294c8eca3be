/** Rows of heads that are turned on their way into a cache or into attention: to the bits of the operators in turn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { layoutOf, type Packed, pack, type Quantizer, unpack } from './packed-tokens.ts';
import {
  addon,
  assertClose,
  assertSameBits,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

interface Shape {
  readonly sequences: number;
  readonly tokens: number;
  readonly heads: number;
  readonly width: number;
  /** Channels of a transform; 0 for none. */
  readonly block: number;
}

const SHAPES: readonly Shape[] = [
  { sequences: 1, tokens: 1, heads: 3, width: 64, block: 64 },
  { sequences: 1, tokens: 19, heads: 2, width: 128, block: 128 },
  { sequences: 2, tokens: 5, heads: 4, width: 10, block: 0 },
  { sequences: 3, tokens: 17, heads: 1, width: 24, block: 24 },
  { sequences: 2, tokens: 3, heads: 6, width: 12, block: 12 },
  { sequences: 1, tokens: 2, heads: 2, width: 8, block: 4 },
];

const QUANTIZERS: readonly Quantizer[] = [
  { bits: 4, symmetric: 0, include_zero: 1, clip_ratio: 1, group: 0 },
  { bits: 8, symmetric: 0, include_zero: 0, clip_ratio: 0.95, group: 0 },
  { bits: 4, symmetric: 1, include_zero: 0, clip_ratio: 1, group: 0 },
];

const countOf = ({ sequences, tokens, heads, width }: Shape): number => sequences * tokens * heads * width;

/** Tables and the matrix of the transform, and what the attributes say of it. */
function turning({ tokens, width, block }: Shape) {
  const angles = random((tokens * width) / 2, 8, 3);
  const table = (of: (angle: number) => number): ProbeTensor => ({
    data: angles.map(of),
    dims: [tokens, width / 2],
  });
  const tables = [table(Math.cos), table(Math.sin)];
  if (block === 0) return { tables, m: null, attributes: {} };
  const { order, matrix } = planHadamard(block);
  const m = matrix && { data: Float32Array.from(matrix), dims: [order, order] };
  return { tables, m, attributes: { block, order, scale: 1 / Math.sqrt(block), transpose: 0 } };
}

const rowsOf = (x: Float32Array, { sequences, tokens, heads, width }: Shape): ProbeTensor => ({
  data: x,
  dims: [sequences * tokens, heads * width],
});

/** [sequences, tokens, heads, width] to [sequences, heads, tokens, width]. */
function split(x: Float32Array, { sequences, tokens, heads, width }: Shape): Float32Array {
  const result = new Float32Array(x.length);
  for (let s = 0; s < sequences; s++)
    for (let t = 0; t < tokens; t++)
      for (let h = 0; h < heads; h++) {
        const from = ((s * tokens + t) * heads + h) * width;
        result.set(x.subarray(from, from + width), ((s * heads + h) * tokens + t) * width);
      }
  return result;
}

/** The operators in turn: RotaryEmbedding, then Hadamard. */
function turnedApart(x: Float32Array, shape: Shape, set: string): Float32Array {
  const { tokens, width, block } = shape;
  const { tables, m, attributes } = turning(shape);
  const heads = { data: split(x, shape), dims: [x.length / tokens / width, tokens, width] };
  const outputs = [x.length];
  const rotary = { name: 'RotaryEmbedding', attributes: {}, inputs: [heads, ...tables], outputs };
  const [turned] = runOperator(rotary, set);
  if (block === 0) return turned!;
  const inputs = [{ data: turned!, dims: heads.dims }, m];
  return runOperator({ name: 'Hadamard', attributes, inputs, outputs }, set)[0]!;
}

function queries(x: Float32Array, shape: Shape, groups: number): Operation {
  const { tables, m, attributes } = turning(shape);
  const { heads, tokens } = shape;
  return {
    name: 'RotaryHeads',
    attributes: { ...attributes, heads, tokens, groups },
    inputs: [rowsOf(x, shape), ...tables, m],
    outputs: [x.length],
  };
}

test('RotaryHeads: the bits of splitting heads, RoPE and Hadamard', { skip: notBuilt }, () => {
  for (const shape of SHAPES) {
    const x = random(countOf(shape), 2, 2);
    const groups = shape.heads % 2 === 0 ? 2 : 1;
    forEachVariant((set, threads) => {
      const [found] = runOperator(queries(x, shape, groups), set, threads);
      assertSameBits(found!, turnedApart(x, shape, set), `${JSON.stringify(shape)} ${set} ${threads}`);
    });
  }
});

/** Heads in double precision, entry by entry. */
function turnedInLoops(x: Float32Array, shape: Shape): number[] {
  const { tokens, width, block } = shape;
  const { tables, m, attributes } = turning(shape);
  const [cos, sin] = tables.map(({ data }) => data as Float32Array) as [Float32Array, Float32Array];
  const half = width / 2;
  const heads = split(x, shape);
  const row = (at: number): number[] => {
    const token = (at / width) % tokens;
    const of = (i: number, other: number, sign: number): number =>
      heads[at + i]! * cos[token * half + (i % half)]! +
      sign * heads[at + other]! * sin[token * half + (i % half)]!;
    return Array.from({ length: width }, (_, i) => (i < half ? of(i, i + half, -1) : of(i, i - half, 1)));
  };
  const { order = 1, scale = 1 } = attributes as { order?: number; scale?: number };
  const columns = block / order;
  const sign = (i: number, j: number): number =>
    (i & j).toString(2).replaceAll('0', '').length % 2 === 0 ? 1 : -1;
  const entry = (values: readonly number[], at: number): number => {
    const start = Math.floor(at / block) * block;
    const [i, c] = [Math.floor((at - start) / columns), at % columns];
    let sum = 0;
    for (let j = 0; j < order; j++)
      for (let k = 0; k < columns; k++)
        sum += (m ? Number(m.data[i * order + j]) : 1) * sign(k, c) * values[start + j * columns + k]!;
    return sum * scale;
  };
  return Array.from({ length: heads.length / width }, (_, head) => row(head * width)).flatMap((values) =>
    block === 0 ? values : values.map((_, i) => entry(values, i)),
  );
}

test('RotaryHeads: every body and the reference against loops', { skip: notBuilt }, () => {
  for (const shape of SHAPES) {
    const x = random(countOf(shape), 3, 2);
    const expected = Float32Array.from(turnedInLoops(x, shape));
    // A sum of at most `block` numbers below 2·2, times 1/√block; each takes part in as many roundings and in four more.
    const terms = shape.block || 1;
    const tolerance = (terms + 5) * ROUNDING * 4 * Math.sqrt(terms);
    for (const set of ['reference', ...addon!.instructionSets()]) {
      const [found] = runOperator(queries(x, shape, 1), set);
      assertClose(found!, expected, () => tolerance, `${JSON.stringify(shape)} ${set}`);
    }
  }
});

/** Packs rows of heads as they come from a product. */
function packRows(
  x: Float32Array,
  shape: Shape,
  quantizer: Quantizer,
  keys: 0 | 1,
  set: string,
  threads = 1,
) {
  const { sequences, tokens, heads, width } = shape;
  const { tables, m, attributes } = turning(shape);
  const { groups, blockBytes } = layoutOf(width, quantizer);
  const blocks = sequences * heads * Math.ceil(tokens / 16);
  const codes = { data: new Int8Array(blocks * blockBytes).fill(0x5a), dims: [1] };
  const scales = { data: new Float32Array(blocks * groups * 16).fill(Number.NaN), dims: [1] };
  const turned = keys === 1 ? attributes : {};
  addon!.runOperator(
    'PackCache',
    set,
    { ...quantizer, ...turned, keys, heads, tokens },
    [rowsOf(x, shape), ...(keys === 1 ? [...tables, m] : [])],
    [codes.data, scales.data],
    threads,
    1,
  );
  const dims = [sequences * heads, Math.ceil(tokens / 16)];
  return {
    codes: { ...codes, dims: [...dims, blockBytes] },
    scales: { ...scales, dims: [...dims, groups * 16] },
  } satisfies Packed;
}

const asTokens = (x: Float32Array, { sequences, heads, tokens, width }: Shape) => ({
  ...{ x, heads: sequences * heads, tokens, width },
});

test('PackCache of rows: the bytes of splitting heads, RoPE, Hadamard and packing', {
  skip: notBuilt,
}, () => {
  for (const shape of SHAPES)
    for (const quantizer of QUANTIZERS) {
      const x = random(countOf(shape), 4, 2);
      forEachVariant((set, threads) => {
        const what = `${JSON.stringify(shape)} ${JSON.stringify(quantizer)} ${set} ${threads}`;
        for (const keys of [0, 1] as const) {
          const apart = keys === 1 ? turnedApart(x, shape, set) : split(x, shape);
          const expected = pack(asTokens(apart, shape), quantizer, keys, set);
          const found = packRows(x, shape, quantizer, keys, set, threads);
          assert.deepEqual(found.codes.data, expected.codes.data, what);
          assertSameBits(found.scales.data, expected.scales.data, what);
        }
      });
    }
});

test('PackCache of rows: the reference is within a step of loops', { skip: notBuilt }, () => {
  const quantizer = { ...QUANTIZERS[0]!, bits: 8 };
  for (const shape of SHAPES) {
    const x = random(countOf(shape), 5, 2);
    const expected = turnedInLoops(x, shape);
    const packed = packRows(x, shape, quantizer, 1, 'reference');
    const found = unpack(packed, asTokens(x, shape), quantizer, 1);
    for (let at = 0; at < found.length; at += shape.width) {
      const row = expected.slice(at, at + shape.width);
      // Half a step for a value and half for the zero point, and 1% of one for what is rounded before.
      const step = (Math.max(0, ...row) - Math.min(0, ...row)) / 255;
      row.forEach((value, i) => {
        assert.ok(Math.abs(found[at + i]! - value) <= 1.01 * step, `${JSON.stringify(shape)} at ${at + i}`);
      });
    }
  }
});

test('PackedAttention that joins heads gives the same bits in the order of tokens', {
  skip: notBuilt,
}, () => {
  const quantizer = QUANTIZERS[0]!;
  const form = { bits: 4, group: 0, zeros: 1 };
  for (const [sequences, groups, repeats, rows, length] of [
    [1, 3, 3, 1, 20],
    [2, 2, 3, 5, 33],
  ] as const) {
    const [width, heads] = [24, sequences * groups];
    const packed = (tokens: number, seed: number, keys: 0 | 1): ProbeTensor[] => {
      const x = random(heads * tokens * width, seed);
      return Object.values(pack({ x, heads, tokens, width }, quantizer, keys, 'portable')).map((tensor) => ({
        ...tensor,
        dims: [sequences, groups, ...tensor.dims.slice(1)],
      }));
    };
    const q = random(heads * repeats * rows * width, 6);
    const apart: Operation = {
      name: 'PackedAttention',
      attributes: {
        ...{ scale: 0.2, rows, window: 0 },
        ...{ key_bits: form.bits, key_group: form.group, key_zeros: form.zeros },
        ...{ value_bits: form.bits, value_group: form.group, value_zeros: form.zeros },
      },
      inputs: [
        { data: q, dims: [sequences, groups, repeats * rows, width] },
        ...[...packed(rows, 2, 1), ...packed(rows, 3, 0), ...packed(length, 4, 1), ...packed(length, 5, 0)],
        { data: BigInt64Array.of(BigInt(length)), dims: [1] },
      ],
      outputs: [q.length],
    };
    const joined = { ...apart, attributes: { ...apart.attributes, joined: 1 } };
    for (const set of ['reference', ...addon!.instructionSets()]) {
      const [found, expected] = [runOperator(joined, set)[0]!, runOperator(apart, set)[0]!];
      const ofTokens = split(found, { sequences, tokens: rows, heads: groups * repeats, width, block: 0 });
      assertSameBits(ofTokens, expected, `${[sequences, groups, repeats, rows]} ${set}`);
    }
  }
});

test('rows that do not fit are refused', { skip: notBuilt }, () => {
  const shape = SHAPES[1]!;
  const good = queries(random(countOf(shape), 1), shape, 1);
  const changed = (attributes: Record<string, number>) => () =>
    runOperator({ ...good, attributes: { ...good.attributes, ...attributes } }, 'portable');
  assert.doesNotThrow(changed({}));
  assert.throws(changed({ heads: 3 }), /X must be \[sequences \* 19, 3 \* h\], found \[19, 256\]/);
  assert.throws(changed({ tokens: 2 }), /X must be \[sequences \* 2, 2 \* h\]/);
  assert.throws(changed({ heads: 1 }), /cos and sin must be \[19, 128\]/);
  assert.throws(changed({ groups: 3 }), /heads must be a multiple of groups/);
  assert.throws(changed({ block: 256 }), /the last dimension must be a multiple of block 256/);
});
