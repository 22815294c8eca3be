import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  absolute,
  addon,
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

/** [M, K, N]: edges of tiles, panels, groups and blocks; A smaller and larger than B. */
const SHAPES = [
  [1, 1, 1],
  [16, 32, 16],
  [33, 31, 47],
  [64, 96, 32],
  [100, 513, 70],
  [290, 64, 33],
  [17, 40, 2100],
  [2080, 33, 5],
  // The depth in parts.
  [40, 3300, 37],
] as const;

/** A number is off by at most this part of itself when two pieces stand for it. */
const TWO_PIECES = 2 ** -16;

interface Shape {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly transB: 0 | 1;
  readonly scaled: boolean;
  readonly pieces: 2 | 3;
}

function operation({ m, k, n, transB, scaled, pieces }: Shape, change = (x: Float32Array) => x): Operation {
  // With scales, B are codes.
  const codes = random(k * n, 2, 7).map(Math.round);
  const b = bfloat16(change(scaled ? codes : random(k * n, 2)));
  const rows = transB ? n : k;
  return {
    name: 'GemmBfloat16',
    attributes: { transB, pieces },
    inputs: [
      { data: change(random(m * k, 1)), dims: [m, k] },
      { data: b, dims: transB ? [n, k] : [k, n] },
      scaled ? { data: change(random(rows, 3)), dims: [rows] } : null,
    ],
    outputs: [m * n],
  };
}

function forEachShape(body: (shape: Shape) => void): void {
  for (const [m, k, n] of SHAPES)
    for (const transB of [0, 1] as const)
      for (const scaled of [false, true])
        for (const pieces of [2, 3] as const) body({ m, k, n, transB, scaled, pieces });
}

/**
 * What whole numbers of 16 bits leave out of A: half a unit of each number, where the largest one of a row of a block is
 * 21845 of them. Factors along the depth are part of A.
 */
function lostInWhole({ attributes, inputs, outputs }: Operation): Float32Array {
  const [a, b, scale] = inputs as { data: Float32Array; dims: readonly number[] }[];
  const [m, k] = a!.dims as [number, number];
  const factor = (depth: number) => (attributes.transB ? 1 : scale!.data[depth]!);
  const halves = new Float32Array(m * k);
  for (let row = 0; row < m; row++) {
    const numbers = Array.from({ length: k }, (_, i) => Math.abs(a!.data[row * k + i]! * factor(i)));
    halves.fill((0.5 * Math.max(...numbers)) / 21845, row * k, (row + 1) * k);
  }
  // The product of halves of units with the sizes of the codes; the reference would multiply by the scales again.
  const sizes = (b!.data as unknown as Uint16Array).map((bits) => bits & 0x7fff);
  const scales = attributes.transB ? scale!.data.map(Math.abs) : scale!.data.map(() => 1);
  const halvesOfA = { data: halves, dims: [m, k] };
  const inputsOfHalves = [halvesOfA, { data: sizes, dims: b!.dims }, { data: scales, dims: scale!.dims }];
  return runOperator({ name: 'GemmBfloat16', attributes, inputs: inputsOfHalves, outputs }, 'reference')[0]!;
}

test('GemmBfloat16 against loops in double precision', { skip: notBuilt }, () => {
  forEachShape((shape) => {
    const expected = runOperator(operation(shape), 'reference')[0]!;
    const sizes = runOperator(operation(shape, absolute), 'reference')[0]!;
    // Three pieces, each with a rounding per product and one per pair of them; two factors.
    const rounding = (4.5 * shape.k + 4) * ROUNDING;
    const relative = rounding + (shape.pieces === 2 ? TWO_PIECES : 0);
    const inWhole = shape.scaled && shape.pieces === 2 ? lostInWhole(operation(shape)) : null;
    forEachVariant((instructionSet, threads) => {
      const [actual] = runOperator(operation(shape), instructionSet, threads);
      const what = `${JSON.stringify(shape)} ${instructionSet} ${threads}`;
      const bound = (i: number) =>
        inWhole && instructionSet === 'avx512_bf16'
          ? rounding * sizes[i]! + inWhole[i]!
          : relative * sizes[i]!;
      assertClose(actual!, expected, bound, what);
    });
  });
});

test('no bit of A is lost: a product with the identity is A', { skip: notBuilt }, () => {
  const n = 96;
  const identity = new Float32Array(n * n);
  for (let i = 0; i < n; i++) identity[i * n + i] = 1;
  const a = random(50 * n, 7, 1e4);
  for (const transB of [0, 1] as const) {
    const product: Operation = {
      name: 'GemmBfloat16',
      attributes: { transB },
      inputs: [
        { data: a, dims: [50, n] },
        { data: bfloat16(identity), dims: [n, n] },
      ],
      outputs: [50 * n],
    };
    forEachVariant((instructionSet) => {
      assertSameBits(runOperator(product, instructionSet)[0]!, a, `transB ${transB} ${instructionSet}`);
    });
  }
});

function splitOperation(
  [m, k, n]: readonly [number, number, number],
  transA: 0 | 1,
  transB: 0 | 1,
  change = (x: Float32Array) => x,
): Operation {
  return {
    name: 'SplitGemm',
    attributes: { transA, transB },
    inputs: [
      { data: change(random(m * k, 1)), dims: transA ? [k, m] : [m, k] },
      { data: change(random(k * n, 2)), dims: transB ? [n, k] : [k, n] },
    ],
    outputs: [m * n],
  };
}

test('SplitGemm against loops in double precision', { skip: notBuilt }, () => {
  for (const shape of SHAPES)
    for (const transA of [0, 1] as const)
      for (const transB of [0, 1] as const) {
        const operation = splitOperation(shape, transA, transB);
        const expected = runOperator(operation, 'reference')[0]!;
        const sizes = runOperator(splitOperation(shape, transA, transB, absolute), 'reference')[0]!;
        // Three products of pieces, each with a rounding and one per pair of them, and what the pieces leave out.
        const relative = (4.5 * shape[1] + 4) * ROUNDING + 3 * TWO_PIECES + TWO_PIECES ** 2;
        forEachVariant((instructionSet, threads) => {
          const [actual] = runOperator(operation, instructionSet, threads);
          const what = `${shape} ${transA} ${transB} ${instructionSet} ${threads}`;
          assertClose(actual!, expected, (i) => relative * sizes[i]!, what);
        });
      }
});

test('GemmBfloat16Add: the product and what it is added to', { skip: notBuilt }, () => {
  for (const [m, k, n] of SHAPES)
    for (const transB of [0, 1] as const) {
      const operation = (change = (x: Float32Array) => x): Operation => ({
        name: 'GemmBfloat16Add',
        attributes: { transB, pieces: 3 },
        inputs: [
          { data: change(random(m * k, 1)), dims: [m, k] },
          { data: bfloat16(change(random(k * n, 2))), dims: transB ? [n, k] : [k, n] },
          { data: change(random(m * n, 3)), dims: [m, n] },
        ],
        outputs: [m * n],
      });
      const expected = runOperator(operation(), 'reference')[0]!;
      const sizes = runOperator(operation(absolute), 'reference')[0]!;
      forEachVariant((instructionSet, threads) => {
        const [actual] = runOperator(operation(), instructionSet, threads);
        const what = `${[m, k, n]} ${transB} ${instructionSet} ${threads}`;
        assertClose(actual!, expected, (i) => (4.5 * k + 4) * ROUNDING * sizes[i]!, what);
      });
    }
});

/** Whole multiples of a unit per row, as quantizers give them: the float32 nearest to each. */
function multiples(rows: number, width: number, seed: number): { values: Float32Array; units: Float32Array } {
  const units = random(rows, seed, 0.4).map((value) => Math.abs(value) + 0.01);
  const levels = random(rows * width, seed + 1, 255);
  return { values: levels.map((value, i) => Math.round(value) * units[Math.floor(i / width)]!), units };
}

type Dims = (typeof SHAPES)[number];

/** op(A) op(B) with A, or B, made of whole multiples; `transposed` is the other factor. */
function unitsOfA([m, k, n]: Dims, transposed: 0 | 1, change = (x: Float32Array) => x): Operation {
  const { values, units } = multiples(m, k, 5);
  return {
    name: 'SplitGemm',
    attributes: { transB: transposed, pieces: 3 },
    inputs: [
      { data: change(values), dims: [m, k] },
      { data: change(random(k * n, 9)), dims: transposed ? [n, k] : [k, n] },
      { data: units, dims: [m] },
    ],
    outputs: [m * n],
  };
}

function unitsOfB([m, k, n]: Dims, transposed: 0 | 1, change = (x: Float32Array) => x): Operation {
  const { values, units } = multiples(k, n, 5);
  return {
    name: 'SplitGemm',
    attributes: { transA: transposed, pieces: 3, unitsOfB: 1 },
    inputs: [
      { data: change(random(k * m, 9)), dims: transposed ? [k, m] : [m, k] },
      { data: change(values), dims: [k, n] },
      { data: units, dims: [k] },
    ],
    outputs: [m * n],
  };
}

for (const [side, make] of Object.entries({ A: unitsOfA, B: unitsOfB }))
  test(`multiples of units are multiplied exactly: ${side}`, { skip: notBuilt }, () => {
    for (const shape of SHAPES)
      for (const transposed of [0, 1] as const) {
        const operation = make(shape, transposed);
        const expected = runOperator(operation, 'reference')[0]!;
        const sizes = runOperator(make(shape, transposed, absolute), 'reference')[0]!;
        // As for three pieces, one more for the unit of each number and one where it is a factor along the depth.
        const relative = (4.5 * shape[1] + 8) * ROUNDING;
        forEachVariant((instructionSet, threads) => {
          const [actual] = runOperator(operation, instructionSet, threads);
          const what = `${shape} ${transposed} ${instructionSet} ${threads}`;
          assertClose(actual!, expected, (i) => relative * sizes[i]!, what);
        });
      }
  });

/** The same product of codes of a byte, and of the multiples that they stand for. */
function codesOf(side: 'A' | 'B', [m, k, n]: Dims, transposed: 0 | 1, change = (x: Float32Array) => x) {
  const [rows, width] = side === 'A' ? [m, k] : [k, n];
  const [high, wide] = side === 'A' ? [k, n] : [m, k];
  const codes = Int8Array.from(random(rows * width, 3, 128), (value) => Math.trunc(value));
  const scales = random(rows, 5, 0.4).map((value) => Math.abs(value) + 0.01);
  const other = {
    data: change(random(high * wide, 9)),
    dims: transposed ? [wide, high] : [high, wide],
  };
  const values = Float32Array.from(codes, (code, i) => code * scales[Math.floor(i / width)]!);
  const ofCodes: Operation = {
    name: 'CodeGemm',
    attributes: { codesOfB: side === 'A' ? 0 : 1, transposeOther: transposed, pieces: 3 },
    inputs: [{ data: codes, dims: [rows, width] }, { data: scales, dims: [rows] }, other],
    outputs: [m * n],
  };
  const multiples = { data: change(values), dims: [rows, width] };
  const ofValues: Operation = {
    name: 'SplitGemm',
    attributes: side === 'A' ? { transB: transposed } : { transA: transposed },
    inputs: side === 'A' ? [multiples, other] : [other, multiples],
    outputs: [m * n],
  };
  return { ofCodes, ofValues };
}

for (const side of ['A', 'B'] as const)
  test(`CodeGemm, codes of ${side}: what the product of their multiples is`, { skip: notBuilt }, () => {
    for (const shape of SHAPES)
      for (const transposed of [0, 1] as const) {
        const { ofCodes, ofValues } = codesOf(side, shape, transposed);
        const expected = runOperator(ofValues, 'reference')[0]!;
        const sizes = runOperator(codesOf(side, shape, transposed, absolute).ofValues, 'reference')[0]!;
        // As for units: the values are rounded in one of the two, factors along the depth in the other.
        const relative = (4.5 * shape[1] + 8) * ROUNDING;
        for (const instructionSet of ['reference', ...addon!.instructionSets()])
          for (const threads of [1, 2]) {
            const [actual] = runOperator(ofCodes, instructionSet, threads);
            const what = `${shape} ${transposed} ${instructionSet} ${threads}`;
            assertClose(actual!, expected, (i) => relative * sizes[i]!, what);
          }
      }
  });

test('codes by codes: no sum is rounded', { skip: notBuilt }, () => {
  const [m, k, n] = [70, 500, 45];
  const codes = (count: number, seed: number) => random(count, seed, 15).map(Math.round);
  const [a, b] = [codes(m * k, 1), codes(n * k, 2)];
  const ones = (count: number) => ({ data: new Float32Array(count).fill(1), dims: [count] });
  const product: Operation = {
    name: 'GemmBfloat16',
    attributes: { transB: 1 },
    inputs: [{ data: a, dims: [m, k] }, { data: bfloat16(b), dims: [n, k] }, ones(n), ones(m)],
    outputs: [m * n],
  };
  const expected = runOperator(product, 'reference')[0]!;
  forEachVariant((instructionSet) => {
    assertSameBits(runOperator(product, instructionSet)[0]!, expected, instructionSet);
  });
});

test('two pieces leave out no more than 2^-16: a product with the identity is A but for that', {
  skip: notBuilt,
}, () => {
  const n = 64;
  const identity = new Float32Array(n * n);
  for (let i = 0; i < n; i++) identity[i * n + i] = 1;
  const a = random(50 * n, 7, 1e4);
  const product: Operation = {
    name: 'SplitGemm',
    attributes: {},
    inputs: [
      { data: a, dims: [50, n] },
      { data: identity, dims: [n, n] },
    ],
    outputs: [50 * n],
  };
  const best = addon!.instructionSets().at(-1)!;
  assertClose(runOperator(product, best)[0]!, a, (i) => TWO_PIECES * Math.abs(a[i]!), 'identity');
});

test('the result does not depend on the threads', { skip: notBuilt }, () => {
  const shape = { m: 700, k: 1100, n: 300, transB: 1, scaled: true, pieces: 3 } as const;
  const best = addon!.instructionSets().at(-1)!;
  const one = runOperator(operation(shape), best, 1)[0]!;
  assertSameBits(runOperator(operation(shape), best, 3)[0]!, one, 'three threads');
});

test('shapes that do not fit are refused', { skip: notBuilt }, () => {
  const a = { data: new Float32Array(6), dims: [2, 3] };
  const b = { data: new Uint16Array(6), dims: [2, 3] };
  const run = (transB: 0 | 1, scale: number) =>
    runOperator(
      {
        name: 'GemmBfloat16',
        attributes: { transB },
        inputs: [a, b, { data: new Float32Array(scale), dims: [scale] }],
        outputs: [4],
      },
      'reference',
    );
  assert.throws(
    () => run(0, 2),
    /op\(A\) must be \[M, K\] and op\(B\) \[K, N\], found A \[2, 3\] and B \[2, 3\]/,
  );
  assert.throws(() => run(1, 3), /scale must have one entry per row of B, found \[3\] for B \[2, 3\]/);
  assert.doesNotThrow(() => run(1, 2));
});
