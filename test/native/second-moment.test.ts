import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addon, assertSameBits, forEachVariant, notBuilt, ROUNDING, random } from './support.ts';

/** Rows whose products are summed from zero on (native-kernels/ops/second_moment). */
const DEPTH = 256;
/** Instruction sets that round the numbers of one piece to bfloat16, by at most 2⁻⁸ of each. */
const ROUNDING_SETS = ['avx512_bf16', 'amx'];
const ONE_PIECE = 2 ** -7 + 2 ** -16;
/** Rows that are summed at once there, in pairs whose products are rounded each. */
const ROUNDED_DEPTH = 512;
type Pieces = 1 | 3;

interface Task {
  readonly rows: number;
  readonly n: number;
  readonly x: Float32Array;
  /** Symmetric. */
  readonly sum: Float32Array;
}

function taskOf(rows: number, n: number): Task {
  const x = random(rows * n, 31 * rows + n, 2);
  const half = random(n * n, n + 5, 100);
  const sum = Float32Array.from(half, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return half[Math.max(i, j) * n + Math.min(i, j)]!;
  });
  return { rows, n, x, sum };
}

function added(
  { rows, n, x, sum }: Task,
  instructionSet: string,
  threads = 1,
  pieces: Pieces = 3,
): Float32Array {
  const next = new Float32Array(n * n).fill(Number.NaN);
  const inputs = [
    { data: x, dims: [rows, n] },
    { data: sum, dims: [n, n] },
  ];
  addon!.runOperator('SecondMoment', instructionSet, { pieces }, inputs, [next], threads, 1);
  return next;
}

/**
 * Every element against loops in double precision, which add 2⁻⁵³ of each sum for each row. A product in float32 goes
 * through two roundings at most, DEPTH sums of its own block, and those of blocks and of the sum before it.
 * @param isRounded each x is rounded to bfloat16 first; every product is added to the sum before it.
 */
function check(task: Task, found: Float32Array, what: string, isRounded = false): void {
  const { rows, n, x, sum } = task;
  const roundings = isRounded
    ? 2 * rows + Math.ceil(rows / ROUNDED_DEPTH) + 1
    : 2 + Math.min(rows, DEPTH) + Math.ceil(rows / DEPTH) + 1;
  const ofProduct = isRounded ? ONE_PIECE : 0;
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let wanted = sum[i * n + j]!;
      let size = Math.abs(wanted);
      let moved = 0;
      for (let t = 0; t < rows; t++) {
        const term = x[t * n + i]! * x[t * n + j]!;
        wanted += term;
        size += Math.abs(term);
        moved += ofProduct * Math.abs(term);
      }
      const allowed = 1.01 * roundings * ROUNDING * size + rows * 2 ** -53 * size + moved;
      const off = Math.abs(found[i * n + j]! - wanted);
      if (!(off <= allowed)) assert.fail(`${what}: [${i}, ${j}] is off by ${off}, not ${allowed}`);
      assert.equal(found[j * n + i], found[i * n + j], `${what}: not symmetric at [${i}, ${j}]`);
    }
}

// Around vectors, panels, tiles and depths of all instruction sets: widths below and above one tile of either size.
const SIZES = [
  [1, 1],
  [3, 7],
  [127, 47],
  [128, 49],
  [130, 143],
  [513, 145],
  [5, 301],
  [0, 33],
  [2, 1537],
] as const;

test('SecondMoment: every element is the sum of the loops, and so is its mirror image', {
  skip: notBuilt,
}, () => {
  for (const [rows, n] of SIZES) {
    const task = taskOf(rows, n);
    check(task, added(task, 'reference'), `[${rows}, ${n}] reference`);
    forEachVariant((instructionSet, threads) => {
      const what = `[${rows}, ${n}] ${instructionSet} ${threads}`;
      check(task, added(task, instructionSet, threads), what);
      const estimate = added(task, instructionSet, threads, 1);
      check(task, estimate, `${what}, one piece`, ROUNDING_SETS.includes(instructionSet));
    });
  }
});

const WAYS: (readonly [instructionSet: string, pieces: Pieces])[] = [
  'reference',
  ...(addon?.instructionSets() ?? []),
].flatMap((set) => [
  [set, 3],
  [set, 1],
]);

test('SecondMoment: threads do not matter, and nothing above the diagonal is read', {
  skip: notBuilt,
}, () => {
  const task = taskOf(200, 301);
  const { n, sum } = task;
  const lower = sum.map((value, at) => (at % n > Math.floor(at / n) ? Number.NaN : value));
  for (const [instructionSet, pieces] of WAYS) {
    const expected = added(task, instructionSet, 1, pieces);
    for (const threads of [2, 3, 4])
      assertSameBits(
        added(task, instructionSet, threads, pieces),
        expected,
        `${instructionSet} ${pieces} ${threads}`,
      );
    const half = added({ ...task, sum: lower }, instructionSet, 1, pieces);
    assertSameBits(half, expected, `${instructionSet} ${pieces}, lower half`);
  }
});

test('SecondMoment: what is not finite stays in its row and column', { skip: notBuilt }, () => {
  const task = taskOf(9, 150);
  task.x[4 * 150 + 70] = Number.POSITIVE_INFINITY;
  for (const [instructionSet, pieces] of WAYS) {
    const found = added(task, instructionSet, 1, pieces);
    found.forEach((value, at) => {
      const touched = at % 150 === 70 || Math.floor(at / 150) === 70;
      assert.equal(Number.isFinite(value), !touched, `${instructionSet} ${pieces} element ${at}`);
    });
  }
});

test('SecondMoment refuses what does not fit', { skip: notBuilt }, () => {
  const refuse = (x: number[], sum: number[], message: RegExp, attributes = {}) =>
    assert.throws(() => {
      const inputs = [x, sum].map((dims) => ({ data: new Float32Array(dims.reduce((a, b) => a * b)), dims }));
      addon!.runOperator('SecondMoment', 'portable', attributes, inputs, [new Float32Array(9)], 1, 1);
    }, message);
  refuse([6], [3, 3], /X must be \[rows, n\], found \[6\]/);
  refuse([2, 3], [3, 2], /the sum must be \[n, n\] for X \[2, 3\], found \[3, 2\]/);
  refuse([2, 3], [9], /the sum must be \[n, n\] for X \[2, 3\], found \[9\]/);
  refuse([2, 3], [3, 3], /pieces/, { pieces: 4 });
});
