/** Products whose factors are whole numbers of 8 bits, with a unit for each row and block of the depth. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertClose,
  assertSameBits,
  bfloat16,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

/** [M, K, N]: edges of panels and of steps, more panels than are packed at a time, several blocks of the depth. */
const SHAPES = [
  [1, 1, 1],
  [33, 31, 47],
  [10, 129, 170],
  [170, 40, 9],
  [20, 900, 34],
] as const;
type Dims = readonly [m: number, k: number, n: number];

/** Half a unit in bfloat16, and the product of both. */
const ONE_PIECE = 2 ** -7 + 2 ** -16;

/** A factor as rows along the depth, as the kernel sees them: what it rounds, or takes exactly. */
interface Rows {
  readonly at: (row: number, depth: number) => number;
  readonly isExact: boolean;
}

/** Depths of a block: equal ones of at most 768, in whole steps of 64. */
const blockOf = (k: number) => Math.ceil(k / Math.ceil(k / 768) / 64) * 64;

/**
 * What each number of a row may be off by: half of the unit of its block, and what its quotient is rounded by before, at
 * most three roundings of a number of at most 127.
 */
function halfUnits({ at, isExact }: Rows, row: number, k: number): Float64Array {
  const [halves, size] = [new Float64Array(k), blockOf(k)];
  for (let start = 0; start < k && !isExact; start += size) {
    const end = Math.min(k, start + size);
    let largest = 0;
    for (let d = start; d < end; d++) largest = Math.max(largest, Math.abs(at(row, d)));
    halves.fill((largest / 127) * (0.5 + 127 * 4 * ROUNDING), start, end);
  }
  return halves;
}

/** A·Bᵀ in double precision, sums of sizes, and what the product in bytes may be off by. */
function looped([m, k, n]: Dims, a: Rows, b: Rows) {
  const [sums, sizes, bounds] = [0, 1, 2].map(() => new Float64Array(m * n)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const halvesOf = (rows: Rows, count: number) =>
    Array.from({ length: count }, (_, i) => halfUnits(rows, i, k));
  const [ofA, ofB] = [halvesOf(a, m), halvesOf(b, n)];
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let [sum, size, off] = [0, 0, 0];
      for (let d = 0; d < k; d++) {
        const [x, y] = [a.at(i, d), b.at(j, d)];
        sum += x * y;
        size += Math.abs(x * y);
        off += ofA[i]![d]! * Math.abs(y) + ofB[j]![d]! * Math.abs(x) + ofA[i]![d]! * ofB[j]![d]!;
      }
      sums[i * n + j] = sum;
      sizes[i * n + j] = size;
      bounds[i * n + j] = off * (1 + 2 ** -16);
    }
  return { sums, sizes, bounds };
}

/** What a product is multiplied with by rows, and what it is added to. */
interface Around {
  readonly factor?: (row: number) => number;
  readonly addend?: Float32Array;
}

/** Every set and number of threads: in bytes within their bound, else as one piece. */
function check(
  dims: Dims,
  operation: Operation,
  a: Rows,
  b: Rows,
  { factor = () => 1, addend }: Around = {},
): void {
  const { sums, sizes, bounds } = looped(dims, a, b);
  const [, k, n] = dims;
  const of = (values: Float64Array) => values.map((value, i) => value * factor(Math.floor(i / n)));
  const expected = Float32Array.from(of(sums), (value, i) => value + (addend?.[i] ?? 0));
  const all = of(sizes).map((value, i) => value + Math.abs(addend?.[i] ?? 0));
  const inBytes = of(bounds);
  // Each block adds to what was there before; the expected sum is rounded, too.
  const relative = (2 * Math.ceil(k / blockOf(k)) + 5) * ROUNDING;
  const found = new Map<string, Float32Array>();
  forEachVariant((instructionSet, threads) => {
    const [actual] = runOperator(operation, instructionSet, threads);
    const ofFewer = found.get(instructionSet);
    if (ofFewer) assertSameBits(actual!, ofFewer, `${operation.name} ${dims} ${instructionSet} ${threads}`);
    found.set(instructionSet, actual!);
    const isBytes = instructionSet === 'avx512_bf16';
    const other = ONE_PIECE + (2 * k + 6) * ROUNDING;
    const bound = (i: number) => (isBytes ? inBytes[i]! + relative * all[i]! : other * all[i]!);
    assertClose(actual!, expected, bound, `${operation.name} ${dims} ${instructionSet} ${threads}`);
  });
}

/** Numbers [rows, depth] as memory has them, or across. */
function matrix(rows: number, depth: number, across: boolean, seed: number, turn = (x: number) => x) {
  const data = random(rows * depth, seed).map((x, i) => turn(x) * (i % 11 === 0 ? 3 : 1));
  const at = (row: number, d: number) => data[across ? d * rows + row : row * depth + d]!;
  return { data, dims: across ? [depth, rows] : [rows, depth], at };
}

const SIDES = [0, 1] as const;
const each = <T>(work: (dims: Dims, first: 0 | 1, second: 0 | 1) => T): void => {
  for (const dims of SHAPES) for (const first of SIDES) for (const second of SIDES) work(dims, first, second);
};

test('both factors of a product of floats are rounded to bytes', { skip: notBuilt }, () => {
  each((dims, transA, transB) => {
    const [m, k, n] = dims;
    const a = matrix(m, k, transA === 1, 1);
    const b = matrix(n, k, transB === 0, 2);
    const operation = {
      name: 'SplitGemm',
      attributes: { transA, transB, pieces: 1, bytes: 1 },
      inputs: [a, b].map(({ data, dims: shape }) => ({ data, dims: shape })),
      outputs: [m * n],
    };
    check(dims, operation, { at: a.at, isExact: false }, { at: b.at, isExact: false });
  });
});

test('weights in bfloat16 are rounded to bytes, and their codes are taken as they are', {
  skip: notBuilt,
}, () => {
  each((dims, transB, coded) => {
    const [m, k, n] = dims;
    const a = matrix(m, k, false, 1);
    const b = matrix(n, k, transB === 0, 2, coded ? (x) => Math.trunc(x * 40) : undefined);
    const stored = bfloat16(b.data);
    const weight = new Float32Array(Uint32Array.from(stored, (bits) => bits << 16).buffer);
    const across = transB === 0;
    const w = (row: number, d: number) => weight[across ? d * n + row : row * k + d]!;
    const scales = random(across ? k : n, 4).map((x) => Math.abs(x) + 0.01);
    const operation: Operation = {
      name: 'GemmBfloat16',
      attributes: { transB, pieces: 1, bytes: 1 },
      inputs: [
        { data: a.data, dims: [m, k] },
        { data: stored, dims: b.dims },
        ...(coded ? [{ data: scales, dims: [scales.length] }] : []),
      ],
      outputs: [m * n],
    };
    const isCoded = coded === 1;
    // Scales are factors along the depth, and of columns where it runs along rows.
    if (isCoded && !across) scales.fill(1);
    const scaled = {
      at: (row: number, d: number) => a.at(row, d) * (isCoded && across ? scales[d]! : 1),
      isExact: false,
    };
    check(dims, operation, scaled, { at: w, isExact: isCoded });
    if (isCoded) return;
    const addend = random(m * n, 6);
    const inputs = [...operation.inputs, { data: addend, dims: [m, n] }];
    check(
      dims,
      { ...operation, name: 'GemmBfloat16Add', inputs },
      scaled,
      { at: w, isExact: false },
      { addend },
    );
  });
});

test('codes of a byte by floats: only these are rounded', { skip: notBuilt }, () => {
  each((dims, codesOfB, transposeOther) => {
    const [m, k, n] = dims;
    const [rows, width] = codesOfB ? [k, n] : [m, k];
    const codes = Int8Array.from(random(rows * width, 3, 128.9), Math.trunc);
    const scales = random(rows, 5, 0.4).map((value) => Math.abs(value) + 0.01);
    const count = codesOfB ? m : n;
    const across = codesOfB ? transposeOther === 1 : transposeOther === 0;
    const other = matrix(count, k, across, 9);
    const operation = {
      name: 'CodeGemm',
      attributes: { codesOfB, transposeOther, pieces: 1, bytes: 1 },
      inputs: [
        { data: codes, dims: [rows, width] },
        { data: scales, dims: [rows] },
        { data: other.data, dims: other.dims },
      ],
      outputs: [m * n],
    };
    const ofCodes = {
      at: (row: number, d: number) => codes[codesOfB ? d * n + row : row * k + d]!,
      isExact: true,
    };
    if (codesOfB)
      check(dims, operation, { at: (row, d) => other.at(row, d) * scales[d]!, isExact: false }, ofCodes);
    else check(dims, operation, ofCodes, { at: other.at, isExact: false }, { factor: (row) => scales[row]! });
  });
});

test('multiples of units that fit a byte are taken exactly', { skip: notBuilt }, () => {
  each((dims, unitsOfB, transposed) => {
    const [m, k, n] = dims;
    const [rows, width] = unitsOfB ? [k, n] : [m, k];
    const units = random(rows, 7).map((x) => Math.abs(x) + 0.1);
    const multiples = random(rows * width, 8, 16).map(Math.trunc);
    const values = multiples.map((x, i) => x * units[Math.floor(i / width)]!);
    const other = matrix(unitsOfB ? m : n, k, unitsOfB ? transposed === 1 : transposed === 0, 9);
    const own = { data: values, dims: [rows, width] };
    const another = { data: other.data, dims: other.dims };
    const operation = {
      name: 'SplitGemm',
      attributes: unitsOfB
        ? { transA: transposed, unitsOfB, pieces: 1, bytes: 1 }
        : { transB: transposed, unitsOfB, pieces: 1, bytes: 1 },
      inputs: [...(unitsOfB ? [another, own] : [own, another]), { data: units, dims: [rows] }],
      outputs: [m * n],
    };
    const whole = {
      at: (row: number, d: number) => multiples[unitsOfB ? d * n + row : row * k + d]!,
      isExact: true,
    };
    if (unitsOfB)
      check(dims, operation, { at: (row, d) => other.at(row, d) * units[d]!, isExact: false }, whole);
    else check(dims, operation, whole, { at: other.at, isExact: false }, { factor: (row) => units[row]! });
  });
});

test('whole numbers are multiplied exactly where the largest of a row is 127', { skip: notBuilt }, () => {
  const [m, k, n] = [70, 500, 45];
  for (const transA of SIDES)
    for (const transB of SIDES) {
      const factor = (rows: number, across: boolean, seed: number) => {
        const data = random(rows * k, seed, 127.9).map(Math.trunc);
        for (let row = 0; row < rows; row++)
          data[across ? (row % k) * rows + row : row * k + (row % k)] = -127;
        return { data, dims: across ? [k, rows] : [rows, k] };
      };
      const operation = {
        name: 'SplitGemm',
        attributes: { transA, transB, pieces: 1, bytes: 1 },
        inputs: [factor(m, transA === 1, 1), factor(n, transB === 0, 2)],
        outputs: [m * n],
      };
      const expected = runOperator(operation, 'reference')[0]!;
      forEachVariant((instructionSet) => {
        assertSameBits(runOperator(operation, instructionSet)[0]!, expected, instructionSet);
      });
    }
});

test('a number that is not finite is not lost in bytes', { skip: notBuilt }, () => {
  for (const lost of [Number.NaN, Number.NEGATIVE_INFINITY])
    for (const transA of SIDES) {
      const a = matrix(20, 70, transA === 1, 9);
      a.data[transA ? 40 * 20 + 3 : 3 * 70 + 40] = lost;
      const b = matrix(30, 70, false, 5);
      const operation = {
        name: 'SplitGemm',
        attributes: { transA, transB: 1, pieces: 1, bytes: 1 },
        inputs: [a, b].map(({ data, dims }) => ({ data, dims })),
        outputs: [20 * 30],
      };
      forEachVariant((instructionSet) => {
        const [actual] = runOperator(operation, instructionSet);
        const isRight = actual!.every((value, i) => Number.isFinite(value) === (Math.floor(i / 30) !== 3));
        assert.ok(isRight, `${lost} ${transA} ${instructionSet}`);
      });
    }
});
