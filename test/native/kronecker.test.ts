/** Kronecker on every instruction set against loops in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  absolute,
  addon,
  assertClose,
  assertSameBits,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

interface Case {
  readonly tokens: number;
  readonly left: number;
  readonly right: number;
  /** Numbers behind those that are read. */
  readonly more?: number;
}

/** Factors below a vector, at its ends and between, rows that fill no block, and those of SmolLM2-135M. */
const CASES: readonly Case[] = [
  { tokens: 1, left: 1, right: 1 },
  { tokens: 3, left: 1, right: 5 },
  { tokens: 2, left: 7, right: 1 },
  { tokens: 5, left: 3, right: 16 },
  { tokens: 4, left: 9, right: 17, more: 12 },
  { tokens: 2, left: 13, right: 33 },
  { tokens: 1, left: 8, right: 31 },
  { tokens: 3, left: 24, right: 24, more: 1152 },
  { tokens: 2, left: 32, right: 48 },
  { tokens: 1, left: 5, right: 80 },
];

function operationOf({ tokens, left, right, more = 0 }: Case): Operation {
  const n = left * right;
  const numbers = random(n + left ** 2 + right ** 2 + more, n, 2);
  return {
    name: 'Kronecker',
    attributes: { left },
    inputs: [
      { data: random(tokens * n, tokens + n, 3), dims: [tokens, n] },
      { data: numbers, dims: [numbers.length] },
    ],
    outputs: [tokens * n],
  };
}

const dataOf = ({ inputs }: Operation): Float32Array[] => inputs.map((input) => input!.data as Float32Array);

/** Σ_ik L[i, j] s[i, k] x[i, k] R[k, c] for each [j, c] of each row. */
function loops(x: Float32Array, numbers: Float32Array, { tokens, left, right }: Case): Float64Array {
  const n = left * right;
  const y = new Float64Array(tokens * n);
  for (let token = 0; token < tokens; token++)
    for (let j = 0; j < left; j++)
      for (let c = 0; c < right; c++)
        for (let i = 0; i < left; i++)
          for (let k = 0; k < right; k++)
            y[token * n + j * right + c]! +=
              numbers[n + i * left + j]! *
              numbers[i * right + k]! *
              x[token * n + i * right + k]! *
              numbers[n + left ** 2 + k * right + c]!;
  return y;
}

test('Kronecker: every body and the reference within the roundings of its sums', { skip: notBuilt }, () => {
  for (const item of CASES) {
    const operation = operationOf(item);
    const [x, numbers] = dataOf(operation) as [Float32Array, Float32Array];
    const expected = Float32Array.from(loops(x, numbers, item));
    const sizes = loops(absolute(x), absolute(numbers), item);
    // A summand is rounded once with s, n2 times in the inner sum, n1 times in the outer one, and what is expected once.
    const tolerance = (i: number): number => (item.left + item.right + 2) * ROUNDING * sizes[i]!;
    for (const set of ['reference', ...addon!.instructionSets()]) {
      const what = `${JSON.stringify(item)} ${set}`;
      const [y] = runOperator(operation, set);
      assertClose(y!, expected, tolerance, what);
      assertSameBits(runOperator(operation, set, 2)[0]!, y!, `${what}, two threads`);
    }
  }
});

test('Kronecker: what does not fit is refused', { skip: notBuilt }, () => {
  const good = operationOf({ tokens: 2, left: 4, right: 6 });
  const run = (changed: Partial<Operation>) => () => runOperator({ ...good, ...changed }, 'portable');
  assert.doesNotThrow(run({}));
  assert.throws(run({ attributes: { left: 5 } }), /a multiple of left 5, found \[2, 24\]/);
  assert.throws(run({ attributes: { left: 0 } }), /left/);
  const short = { data: random(75, 1), dims: [75] };
  assert.throws(run({ inputs: [good.inputs[0]!, short] }), /at least 76 numbers, found \[75\]/);
  const matrix = { data: random(80, 1), dims: [8, 10] };
  assert.throws(run({ inputs: [good.inputs[0]!, matrix] }), /at least 76 numbers, found \[8, 10\]/);
});
