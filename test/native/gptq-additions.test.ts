/** Sweeps of coordinate descent, and GptqRound with what FOEM and GPTAQ add: every instruction set against loops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAMPING, damped, factor, moments } from './moments.ts';
import { addon, forEachVariant, notBuilt, ROUNDING, random } from './support.ts';

interface Task {
  readonly m: number;
  readonly n: number;
  readonly groups: number;
  readonly bits: number;
  readonly w: Float32Array;
  readonly h: Float32Array;
  readonly scale: Float32Array;
  readonly zero: Float32Array;
}

const SHAPES = [
  [1, 1, 1, 4],
  [3, 7, 7, 2],
  [5, 65, 5, 3],
  [64, 96, 1, 8],
  [70, 130, 13, 4],
  [9, 330, 3, 4],
  [2, 48, 2, 7],
  [2, 49, 1, 6],
] as const;

function taskOf([m, n, groups, bits]: (typeof SHAPES)[number]): Task {
  // Scales that leave some weights out of range, and zeros on both sides.
  const scale = random(m * groups, n, 0.3).map((x) => (0.6 + x) / 2 ** (bits - 1));
  const zero = random(m * groups, n + 1, 2 ** (bits - 2)).map((x) => Math.round(x) + 0);
  return {
    ...{ m, n, groups, bits, scale, zero },
    w: random(m * n, 17 * n + m, 0.5),
    h: moments(n, 2 * n, n),
  };
}

const grid = ({ m, groups, scale, zero }: Task) => [
  { data: scale, dims: [m, groups] },
  { data: zero, dims: [m, groups] },
];

function sweep(task: Task, given: Int8Array, sweeps: number, instructionSet: string, threads = 1): Int8Array {
  const { m, n, bits, w, h } = task;
  const codes = new Int8Array(m * n).fill(99);
  const inputs = [
    { data: w, dims: [m, n] },
    { data: h, dims: [n, n] },
    { data: given, dims: [m, n] },
    ...grid(task),
  ];
  const attributes = { bits, sweeps, damping: DAMPING };
  addon!.runOperator('GptqSweep', instructionSet, attributes, inputs, [codes], threads, 1);
  return codes;
}

/** Codes to begin with: to nearest, and one step off where it goes. */
function begun({ m, n, groups, bits, w, scale, zero }: Task): Int8Array {
  const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  return Int8Array.from({ length: m * n }, (_, at) => {
    const group = Math.floor(at / n) * groups + Math.floor(((at % n) * groups) / n);
    const code = Math.round(w[at]! / scale[group]!) + zero[group]! + ((at % 3) - 1);
    return Math.min(Math.max(code, low), high);
  });
}

/** w − q of a row. */
function errorsOf({ n, groups, w, scale, zero }: Task, codes: Int8Array, row: number): Float64Array {
  return Float64Array.from({ length: n }, (_, j) => {
    const group = row * groups + Math.floor((j * groups) / n);
    const q = Math.fround(scale[group]! * (codes[row * n + j]! - zero[group]!));
    return w[row * n + j]! - q;
  });
}

/** e A eᵀ. */
function lossOf(e: Float64Array, a: Float64Array): number {
  const n = e.length;
  let total = 0;
  for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) total += e[j]! * a[j * n + k]! * e[k]!;
  return total;
}

/**
 * Each code of a sweep must be the one of w_j + Σ_{k≠j} e_k H_jk / A_jj in double precision, from the codes as they are
 * then. Roundings of a term: its own, a sum of at most 128 and those of such sums, the panel's own columns, and starts.
 * @returns by how much the loss may have risen: 2 A_jj s² times how far on the wrong side of a tie a choice may be.
 */
function checkSweep(task: Task, a: Float64Array, given: Int8Array, codes: Int8Array, row: number): number {
  const { n, groups, bits, h, w, scale, zero } = task;
  const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  const u = 1.01 * ROUNDING;
  const [errors, after] = [errorsOf(task, given, row), errorsOf(task, codes, row)];
  let rise = 0;
  for (let j = 0; j < n; j++) {
    const group = row * groups + Math.floor((j * groups) / n);
    const [s, z, pivot, weight] = [scale[group]!, zero[group]!, a[j * n + j]!, w[row * n + j]!];
    let [sum, size] = [0, 0];
    for (let k = 0; k < n; k++) {
      const term = k === j ? 0 : errors[k]! * h[j * n + k]!;
      sum += term;
      size += Math.abs(term);
    }
    const wanted = weight + sum / pivot;
    const roundings = 2 + Math.min(n, 128) + Math.ceil(n / 128) + 2 + 48;
    const off = u * ((roundings * size) / pivot + 2 * Math.abs(sum / pivot) + Math.abs(wanted));
    const slack = off / s + u * Math.abs(wanted / s);
    const code = codes[row * n + j]!;
    const position = wanted / s + z - code;
    const below = code === low ? Infinity : 0.5 + position;
    const above = code === high ? Infinity : 0.5 - position;
    assert.ok(
      code >= low && code <= high && Math.min(below, above) >= -slack,
      `row ${row} column ${j} is ${code}, off by ${position} ± ${slack}`,
    );
    rise += 2 * pivot * s * s * Math.max(0, -Math.min(below, above));
    errors[j] = after[j]!;
  }
  return rise;
}

test('GptqSweep: every code is the best for all others as they are, and no loss rises', {
  skip: notBuilt,
}, () => {
  for (const shape of SHAPES) {
    const task = taskOf(shape);
    const { m, n } = task;
    const { a } = damped(task.h, n);
    const variants: [string, number][] = [['reference', 1]];
    forEachVariant((instructionSet, threads) => void variants.push([instructionSet, threads]));
    for (const [instructionSet, threads] of variants) {
      let codes = begun(task);
      for (let count = 1; count < 4; count++) {
        const next = sweep(task, codes, 1, instructionSet, threads);
        // Rows of both units.
        for (let row = 0; row < m; row += 9) {
          const [before, after] = [codes, next].map((each) => lossOf(errorsOf(task, each, row), a));
          const rise = checkSweep(task, a, codes, next, row);
          // 2⁻⁴⁰: both losses are sums in double precision.
          assert.ok(
            after! <= before! * (1 + 2 ** -40) + rise,
            `[${m}, ${n}] row ${row}: ${before} → ${after}`,
          );
        }
        if (count === 1 && n > 1) assert.notDeepEqual(next, codes);
        codes = next;
        const atOnce = sweep(task, begun(task), count, instructionSet, threads);
        assert.deepEqual(atOnce, codes, `${instructionSet} [${m}, ${n}]: ${count} sweeps at once`);
      }
    }
  }
});

test('GptqSweep: what no sweep changes any more is left, and threads decide nothing', {
  skip: notBuilt,
}, () => {
  const task = taskOf([70, 130, 13, 4]);
  for (const instructionSet of ['reference', ...addon!.instructionSets()]) {
    const codes = sweep(task, begun(task), 60, instructionSet);
    assert.deepEqual(sweep(task, codes, 1, instructionSet), codes);
    for (const threads of [2, 3])
      assert.deepEqual(sweep(task, begun(task), 60, instructionSet, threads), codes);
  }
});

test('GptqSweep refuses what does not fit', { skip: notBuilt }, () => {
  const refuse = (dims: readonly (readonly number[])[], sweeps: number, message: RegExp) =>
    assert.throws(() => {
      const inputs = dims.map((each, i) => {
        const count = each.reduce((product, dim) => product * dim, 1);
        return { data: i === 2 ? new Int8Array(count) : new Float32Array(count), dims: [...each] };
      });
      addon!.runOperator('GptqSweep', 'portable', { bits: 4, sweeps }, inputs, [new Int8Array(6)], 1, 1);
    }, message);
  const [w, h, s] = [
    [2, 3],
    [3, 3],
    [2, 1],
  ] as const;
  refuse([w, [2, 3], w, s, s], 1, /H must be \[n, n\], found \[2, 3\]/);
  refuse([w, h, [3, 2], s, s], 1, /W and codes must have the same shape/);
  refuse([w, h, w, [2, 2], [2, 2]], 1, /groups dividing n/);
  refuse([w, h, w, s, s], 0, /attribute sweeps must be in \[1, \d+\], found 0/);
});

interface Additions {
  readonly beta: number;
  /** R [n, n]. */
  readonly drift: Float32Array | null;
}

function round(task: Task, t: Float32Array, { beta, drift }: Additions, instructionSet: string, threads = 1) {
  const { m, n, bits, w } = task;
  const codes = new Int8Array(m * n).fill(99);
  // 5 divides some n: those keep their own order.
  const placed = (j: number) => (n % 5 === 0 ? j : (j * 5 + 2) % n);
  const order = { data: BigInt64Array.from({ length: n }, (_, j) => BigInt(placed(j))), dims: [n] };
  const inputs = [
    { data: w, dims: [m, n] },
    { data: t, dims: [n, n] },
    ...grid(task),
    order,
    ...(drift ? [{ data: drift, dims: [n, n] }] : []),
  ];
  addon!.runOperator('GptqRound', instructionSet, { bits, beta }, inputs, [codes], threads, 1);
  return codes;
}

test('GptqRound with β and R: the codes of the loops but where float32 is too close to a tie', {
  skip: notBuilt,
}, () => {
  let [same, rows] = [0, 0];
  for (const shape of SHAPES) {
    const task = taskOf(shape);
    const { m, n } = task;
    const t = factor(task.h, n, 'reference');
    // A tenth of T, and above the diagonal what nothing may read.
    const drift = random(n * n, n + 9).map((x, at) =>
      at % n < Math.floor(at / n) ? 0.1 * x * t[at]! : Number.NaN,
    );
    for (const additions of [
      { beta: 0.1, drift: null },
      { beta: 0, drift },
      { beta: 0.3, drift },
    ]) {
      const expected = round(task, t, additions, 'reference');
      if (n > 7) assert.notDeepEqual(expected, round(task, t, { beta: 0, drift: null }, 'reference'));
      forEachVariant((instructionSet, threads) => {
        const codes = round(task, t, additions, instructionSet, threads);
        for (let row = 0; row < m; row++) {
          const part = [row * n, (row + 1) * n] as const;
          rows++;
          const wanted = expected.subarray(...part);
          if (codes.subarray(...part).every((code, j) => code === wanted[j])) same++;
        }
        assert.deepEqual(codes, round(task, t, additions, instructionSet, 1), 'threads decide nothing');
      });
    }
  }
  // Of n values in a row, about n · 100 · 2⁻²⁴ are that close to a tie, in steps of a few units: below 2 % of rows.
  assert.ok(same >= 0.97 * rows, `${same} of ${rows} rows are the same`);
});

test('GptqRound refuses an R of another shape', { skip: notBuilt }, () => {
  const task = taskOf([3, 7, 7, 2]);
  const t = factor(task.h, 7, 'reference');
  const inputs = [
    { data: task.w, dims: [3, 7] },
    { data: t, dims: [7, 7] },
    ...grid(task),
    { data: BigInt64Array.from({ length: 7 }, (_, j) => BigInt(j)), dims: [7] },
    { data: new Float32Array(42), dims: [6, 7] },
  ];
  assert.throws(
    () => addon!.runOperator('GptqRound', 'portable', { bits: 2 }, inputs, [new Int8Array(21)], 1, 1),
    /T and R must have the same shape/,
  );
});
