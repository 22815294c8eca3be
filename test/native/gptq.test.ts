import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gptqRound, reverseCholesky } from '../../src/engine/graph/fused/gptq.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { DAMPING, damped, factor, moments } from './moments.ts';
import { addon, assertSameBits, forEachVariant, notBuilt, ROUNDING, random } from './support.ts';

interface Rounding {
  readonly m: number;
  readonly n: number;
  readonly groups: number;
  readonly bits: number;
  readonly w: Float32Array;
  readonly t: Float32Array;
  readonly scale: Float32Array;
  readonly zero: Float32Array;
}

function rounding(m: number, n: number, groups: number, bits: number, t: Float32Array): Rounding {
  const w = random(m * n, 17 * n + m, 0.5);
  // Scales that leave some weights out of range, and zeros on both sides.
  const scale = random(m * groups, n, 0.3).map((x) => (0.6 + x) / 2 ** (bits - 1));
  const zero = random(m * groups, n + 1, 2 ** (bits - 2)).map((x) => Math.round(x) + 0);
  return { m, n, groups, bits, w, t, scale, zero };
}

function round(
  task: Rounding,
  instructionSet: string,
  threads = 1,
  order: readonly number[] | null = null,
): Int8Array {
  const { m, n, groups, bits, w, t, scale, zero } = task;
  const codes = new Int8Array(m * n).fill(99);
  const inputs = [
    { data: w, dims: [m, n] },
    { data: t, dims: [n, n] },
    { data: scale, dims: [m, groups] },
    { data: zero, dims: [m, groups] },
    ...(order ? [{ data: BigInt64Array.from(order, BigInt), dims: [n] }] : []),
  ];
  addon!.runOperator('GptqRound', instructionSet, { bits }, inputs, [codes], threads, 1);
  return codes;
}

interface RowCheck {
  /** w − q. */
  readonly errors: Float64Array;
  /** Least distance of a quotient w'/s to where another code begins, less its own error. */
  readonly margin: number;
}

/**
 * Each code must be the one of w'/s as computed here, from the codes before it, in double precision. Roundings in
 * float32 that a term e_k T_jk goes through: its own (e, and the product where there is no fused one), a sum of at most
 * 128, the sums of such blocks, and 8 for the panel's own columns and starts.
 */
function checkRow(task: Rounding, codes: Int8Array, row: number, what: string): RowCheck {
  const { n, groups, bits, w, t, scale, zero } = task;
  const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  const u = 1.01 * ROUNDING;
  const errors = new Float64Array(n);
  let margin = Infinity;
  for (let j = 0; j < n; j++) {
    const group = row * groups + Math.floor((j * groups) / n);
    const [s, z, pivot, weight] = [scale[group]!, zero[group]!, t[j * n + j]!, w[row * n + j]!];
    let [sum, size] = [0, 0];
    for (let k = 0; k < j; k++) {
      const term = errors[k]! * t[j * n + k]!;
      sum += term;
      size += Math.abs(term);
    }
    const wanted = weight + sum / pivot;
    const roundings = 2 + Math.min(j, 128) + Math.ceil(j / 128) + 8;
    const off = u * ((roundings * size) / pivot + Math.abs(sum / pivot) + Math.abs(wanted));
    const slack = off / s + u * Math.abs(wanted / s);
    const code = codes[row * n + j]!;
    const position = wanted / s + z - code;
    const below = code === low ? Infinity : 0.5 + position;
    const above = code === high ? Infinity : 0.5 - position;
    margin = Math.min(margin, below - slack, above - slack);
    if (!(code >= low && code <= high && Math.min(below, above) >= -slack))
      assert.fail(`${what}: row ${row} column ${j} is ${code}, off by ${position} ± ${slack}`);
    const q = Math.fround(s * (code - z));
    errors[j] = weight - q;
  }
  return { errors, margin };
}

const ROUNDINGS = [
  [1, 1, 1, 4],
  [3, 7, 7, 2],
  [5, 65, 5, 3],
  [64, 96, 1, 8],
  [70, 130, 13, 4],
  [130, 130, 1, 5],
  [9, 330, 3, 4],
  [2, 48, 2, 7],
  [2, 49, 1, 6],
] as const;

test('GptqRound: every code is that of the weight with the errors before it fed back, and as the loops have it', {
  skip: notBuilt,
}, () => {
  let [clear, rows] = [0, 0];
  for (const [m, n, groups, bits] of ROUNDINGS) {
    const task = rounding(m, n, groups, bits, factor(moments(n, 2 * n, n), n, 'reference'));
    const expected = round(task, 'reference');
    const margins = Array.from({ length: m }, (_, row) => checkRow(task, expected, row, 'reference').margin);
    rows += m;
    clear += margins.filter((margin) => margin > 0).length;
    forEachVariant((instructionSet, threads) => {
      const what = `[${m}, ${n}] ${groups} groups ${bits} bits ${instructionSet} ${threads}`;
      const codes = round(task, instructionSet, threads);
      for (let row = 0; row < m; row++) {
        checkRow(task, codes, row, what);
        // A row without a quotient near a half has only one result.
        const part = [row * n, (row + 1) * n] as const;
        if (margins[row]! > 0) assert.deepEqual(codes.subarray(...part), expected.subarray(...part), what);
      }
    });
  }
  assert.ok(clear > 0.8 * rows, `${clear} of ${rows} rows have one result only`);
});

/** Numbers 0 … n − 1, mixed. */
function mixed(n: number): number[] {
  const keys = random(n, 3 * n + 1);
  return Array.from(keys.keys()).sort((a, b) => keys[a]! - keys[b]!);
}

test('GptqRound in an order: the bits of columns that stand in it, each with the scale of its own group', {
  skip: notBuilt,
}, () => {
  for (const [m, n, groups, bits] of ROUNDINGS) {
    const order = mixed(n);
    const task = rounding(m, n, groups, bits, factor(moments(n, 2 * n, n), n, 'reference'));
    const groupOf = (column: number) => Math.floor((column * groups) / n);
    const placed = (of: Float32Array, width: number, at: (column: number) => number) =>
      Float32Array.from({ length: m * n }, (_, i) => of[Math.floor(i / n) * width + at(order[i % n]!)]!);
    const apart: Rounding = {
      ...{ m, n, groups: n, bits, t: task.t },
      w: placed(task.w, n, (column) => column),
      scale: placed(task.scale, groups, groupOf),
      zero: placed(task.zero, groups, groupOf),
    };
    for (const instructionSet of ['reference', ...addon!.instructionSets()]) {
      const expected = new Int8Array(m * n);
      round(apart, instructionSet).forEach((code, i) => {
        expected[Math.floor(i / n) * n + order[i % n]!] = code;
      });
      for (const threads of [1, 3])
        assert.deepEqual(
          round(task, instructionSet, threads, order),
          expected,
          `${instructionSet} [${m}, ${n}]`,
        );
    }
  }
});

test('GptqRound refuses an order that leaves columns out', { skip: notBuilt }, () => {
  const task = rounding(2, 3, 1, 4, factor(moments(3, 6, 3), 3, 'reference'));
  for (const order of [
    [0, 1, 1],
    [0, 1, 3],
    [-1, 0, 1],
  ])
    assert.throws(
      () => round(task, 'portable', 1, order),
      /order must name each column of W once, found -?\d at \d/,
    );
});

/** e A eᵀ. */
function form(e: Float64Array, a: Float64Array): number {
  const n = e.length;
  let total = 0;
  for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) total += e[j]! * a[j * n + k]! * e[k]!;
  return total;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

test('GptqRound: less loss than rounding to the nearest where inputs correlate', { skip: notBuilt }, () => {
  const [m, n] = [64, 130];
  const h = moments(n, 300, 3);
  const { a } = damped(h, n);
  const t = factor(h, n, 'reference');
  const identity = factor(new Float32Array(n * n), n, 'reference');
  for (const bits of [2, 3, 4, 8]) {
    const task = rounding(m, n, 1, bits, t);
    // In range, as weights are.
    task.scale.fill(1.1 / 2 ** (bits - 1));
    task.zero.fill(0);
    forEachVariant((instructionSet, threads) => {
      const nearest = round({ ...task, t: identity }, instructionSet, threads);
      const nearestLoss = Array.from({ length: m }, (_, row) => {
        const e = Float64Array.from({ length: n }, (_, j) => {
          const [w, s] = [task.w[row * n + j]!, task.scale[row]!];
          const code = Math.min(
            Math.max(roundEven(Math.fround(w / s)), -(2 ** (bits - 1))),
            2 ** (bits - 1) - 1,
          );
          assert.equal(nearest[row * n + j], code + 0, 'with T = I nothing is fed back');
          return w - Math.fround(s * code);
        });
        return form(e, a);
      });
      const codes = round(task, instructionSet, threads);
      const losses = Array.from({ length: m }, (_, row) =>
        form(checkRow(task, codes, row, `${bits} bits`).errors, a),
      );
      assert.ok(sum(losses) < 0.5 * sum(nearestLoss), `${bits} bits: ${sum(losses)}`);
    });
  }
});

function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

test('GptqRound: rows do not depend on how units are shared out, nor on each other', {
  skip: notBuilt,
}, () => {
  const [m, n, groups] = [200, 130, 2];
  const task = rounding(m, n, groups, 4, factor(moments(n, 60, 9), n, 'reference'));
  for (const instructionSet of addon!.instructionSets()) {
    const expected = round(task, instructionSet);
    for (const threads of [2, 3, 4]) assert.deepEqual(round(task, instructionSet, threads), expected);
    for (const row of [0, 77, 199]) {
      const own = (x: Float32Array, width: number) => x.slice(row * width, (row + 1) * width);
      const [w, scale, zero] = [own(task.w, n), own(task.scale, groups), own(task.zero, groups)];
      const alone = round({ ...task, m: 1, w, scale, zero }, instructionSet);
      assert.deepEqual(alone, expected.slice(row * n, (row + 1) * n));
    }
  }
});

const zeros = (dims: number[]) => ({ data: new Float32Array(dims.reduce((a, b) => a * b)), dims });

test('GptqRound refuses what does not fit', { skip: notBuilt }, () => {
  const refuse = (dims: number[][], bits: number, message: RegExp) =>
    assert.throws(() => {
      addon!.runOperator('GptqRound', 'portable', { bits }, dims.map(zeros), [new Int8Array(6)], 1, 1);
    }, message);
  const [w, t, s] = [
    [2, 3],
    [3, 3],
    [2, 1],
  ] as const;
  refuse([[...w], [2, 3], [...s], [...s]], 4, /T must be \[n, n\], found \[2, 3\]/);
  refuse([[3, 2], [...t], [...s], [...s]], 4, /W must be \[m, n\] for T \[3, 3\], found \[3, 2\]/);
  refuse([[...w], [...t], [2, 2], [2, 2]], 4, /groups dividing n, found \[2, 2\] for W \[2, 3\]/);
  refuse([[...w], [...t], [2], [2]], 4, /scale must be \[m, groups\], .* found \[2\]/);
  refuse(
    [[...w], [...t], [...s], [2, 3]],
    4,
    /scale and zero must have the same shape, found \[2, 1\] and \[2, 3\]/,
  );
  refuse([[...w], [...t], [...s], [...s]], 9, /attribute bits must be in \[2, 8\], found 9/);
});

test('both operators in a graph', { skip: notBuilt }, async () => {
  const [m, n, bits] = [5, 65, 4];
  const h = moments(n, 100, 1);
  const runtime = await createRuntime({ kernels: 'native', threads: 2 });
  try {
    const graph = new Graph();
    const t = reverseCholesky(graph.input('h', [n, n]), DAMPING);
    const [w, scale, zero] = [
      graph.input('w', [m, n]),
      graph.input('scale', [m, 5]),
      graph.input('zero', [m, 5]),
    ];
    const program = await Program.compile(runtime, graph, {
      t,
      codes: gptqRound({ w, t, scale, zero }, bits),
    });
    const task = rounding(m, n, 5, bits, factor(h, n, addon!.instructionSets().at(-1)!));
    const found = await program.run({
      h: float32([n, n], h),
      w: float32([m, n], task.w),
      scale: float32([m, 5], task.scale),
      zero: float32([m, 5], task.zero),
    });
    const expected = round(task, addon!.instructionSets().at(-1)!);
    assertSameBits(found.t!.data as Float32Array, task.t, 'T');
    assert.deepEqual(found.codes!.data, expected);
  } finally {
    runtime.close();
  }
});
