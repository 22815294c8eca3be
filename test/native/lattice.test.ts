/** LatticeRound gives the points of the loops in TypeScript on every instruction set, and those of its reference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type LatticeBits,
  type LatticePoints,
  type LatticeTask,
  latticeInLoops,
  latticeValues,
} from '../../src/engine/rounding/quip/round-in-loops.ts';
import { addon, forEachVariant, notBuilt, random } from './support.ts';

/** Factors of modest size, as those of inputs that correlate. */
function latticeTask(rows: number, columns: number, bits: LatticeBits, sweeps: number): LatticeTask {
  const factors = (seed: number): Float32Array => random(columns * columns, seed, 1.5 / Math.sqrt(columns));
  const w = random(rows * columns, 31 * columns + rows, 1.8);
  return { w, rows, columns, bits, sweeps, feedback: factors(columns + 1), gain: factors(columns + 2) };
}

function native(task: LatticeTask, instructionSet: string, threads = 1): LatticePoints {
  const { w, rows, columns, bits, sweeps, feedback, gain } = task;
  const panels = [columns / 8, columns, 8];
  const inputs = [
    { data: w, dims: [rows, columns] },
    { data: feedback, dims: panels },
    { data: gain, dims: panels },
  ];
  const [first, second] = [new Int8Array(w.length).fill(99), new Int8Array(w.length).fill(99)];
  addon!.runOperator('LatticeRound', instructionSet, { bits, sweeps }, inputs, [first, second], threads, 1);
  return { first, second };
}

const TASKS = [
  [1, 8, 2, 0],
  [3, 16, 3, 2],
  [33, 24, 4, 3],
  [40, 40, 2, 10],
  [70, 64, 3, 10],
  [65, 72, 4, 10],
] as const;

for (const [rows, columns, bits, sweeps] of TASKS)
  test(`[${rows}, ${columns}] at ${bits} bits with ${sweeps} sweeps`, { skip: notBuilt }, async () => {
    const task = latticeTask(rows, columns, bits, sweeps);
    const expected = await latticeInLoops(task);
    assert.equal(
      bits === 2,
      expected.second.every((quarters) => quarters === 0),
    );
    forEachVariant((instructionSet, threads) =>
      assert.deepEqual(native(task, instructionSet, threads), expected, instructionSet),
    );
    // Double precision and float32 choose alike where no two points are equally near to the last bits: here.
    assert.deepEqual(native(task, 'reference'), expected);
  });

test('zeros, weights far outside and weights on points', { skip: notBuilt }, async () => {
  const [rows, columns] = [34, 16];
  for (const bits of [2, 3, 4] as const) {
    const task = latticeTask(rows, columns, bits, 3);
    task.w.fill(0, 0, columns);
    task.w.subarray(columns, 2 * columns).forEach((value, i, row) => {
      row[i] = 50 * value;
    });
    task.w.fill(0.75, 2 * columns, 3 * columns);
    const expected = await latticeInLoops(task);
    forEachVariant((instructionSet, threads) =>
      assert.deepEqual(native(task, instructionSet, threads), expected, instructionSet),
    );
    assert.ok(latticeValues(expected, bits).every(Number.isFinite));
  }
});

test('weights that are no numbers give points all the same', { skip: notBuilt }, () => {
  const task = latticeTask(5, 16, 4, 2);
  task.w.fill(Number.NaN, 16, 24).fill(Infinity, 40, 44);
  forEachVariant((instructionSet) => {
    const { first, second } = native(task, instructionSet);
    assert.ok([first, second].every((points) => points.every((quarters) => Math.abs(quarters) <= 11)));
  });
});

test('LatticeRound refuses what does not fit', { skip: notBuilt }, () => {
  const refuse = (dims: number[][], attributes: Record<string, number>, message: RegExp) => {
    const zeros = dims.map((own) => ({ data: new Float32Array(own.reduce((a, b) => a * b)), dims: own }));
    const outputs = [new Int8Array(32), new Int8Array(32)];
    assert.throws(
      () => addon!.runOperator('LatticeRound', 'portable', attributes, zeros, outputs, 1, 1),
      message,
    );
  };
  const panels = [2, 16, 8];
  refuse([[2, 12], panels, panels], {}, /W must be \[m, n\], n a multiple of 8, found \[2, 12\]/);
  refuse([[2, 16], [16, 16], panels], {}, /L must be \[2, 16, 8\], found \[16, 16\]/);
  refuse([[2, 16], panels, [1, 16, 8]], {}, /G must be \[2, 16, 8\], found \[1, 16, 8\]/);
  refuse([[2, 16], panels, panels], { bits: 5 }, /attribute bits must be in \[2, 4\], found 5/);
  refuse([[2, 16], panels, panels], { sweeps: 101 }, /attribute sweeps must be in \[0, 100\], found 101/);
});
