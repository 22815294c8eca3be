import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertClose,
  difficultRows,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  runOperator,
} from './support.ts';

/** Sums of a block, the last number being the end of its axis. */
const SUMS = 6;
const BINS = 128;
const NAMES = ['sums', 'largest', 'counts', 'lows', 'highs'];

interface Shape {
  readonly rows: number;
  readonly channels: number;
  readonly blockRows: number;
  readonly group: number;
}

function operation({ rows, channels, blockRows, group }: Shape, x: Float32Array): Operation {
  const blocks = Math.ceil(rows / blockRows);
  const groups = rows * (group ? channels / group : 1);
  const dims = [rows, channels];
  return {
    name: 'ActivationStatistics',
    attributes: { block_rows: blockRows, group, bins: BINS },
    inputs: [
      { data: x, dims },
      { data: x.map((value) => Math.round(value * 2) / 2), dims },
    ],
    outputs: [blocks * SUMS, blocks * channels, blocks * BINS, groups, groups],
  };
}

/** Σ|x|ᵏ of a block, k = 1 … 4, and the squared error: what the roundings of a sum are relative to. */
function magnitudes(x: Float32Array): number[] {
  const sums = [1, 2, 3, 4].map((power) => x.reduce((sum, value) => sum + Math.abs(value) ** power, 0));
  return [...sums, x.reduce((sum, value) => sum + (Math.round(value * 2) / 2 - value) ** 2, 0)];
}

function check(shape: Shape): void {
  const { rows, channels, blockRows } = shape;
  const x = difficultRows(channels, rows);
  const size = blockRows * channels;
  const scales = Array.from({ length: Math.ceil(rows / blockRows) }, (_, block) =>
    magnitudes(x.subarray(block * size, (block + 1) * size)),
  );
  const expected = runOperator(operation(shape, x), 'reference');
  forEachVariant((instructionSet, threads) => {
    runOperator(operation(shape, x), instructionSet, threads).forEach((actual, output) => {
      const tolerance = (index: number): number => {
        const scale = output === 0 ? (scales[Math.floor(index / SUMS)]![index % SUMS] ?? 0) : 0;
        // Both round a double to float32; sums in double precision of so many terms in another order before that.
        const rounded = 2 * ROUNDING * Math.abs(expected[output]![index]!);
        return scale === 0 ? 0 : rounded + size * 2 ** -52 * scale;
      };
      const what = `${NAMES[output]} ${JSON.stringify(shape)} ${instructionSet} ${threads}`;
      assertClose(actual, expected[output]!, tolerance, what);
    });
  });
}

test('ActivationStatistics: every instruction set against the loops', { skip: notBuilt }, () => {
  for (const channels of [1, 3, 64, 172, 288, 1536])
    for (const rows of [1, 4, 22])
      for (const blockRows of [1, 5, 64])
        check({ rows, channels, blockRows, group: channels % 4 === 0 ? channels / 4 : 0 });
});

test('ActivationStatistics: values by hand', { skip: notBuilt }, () => {
  const x = Float32Array.of(4, -4, -0.01, 0, 0.25, 3);
  forEachVariant((instructionSet) => {
    const shape = { rows: 3, channels: 2, blockRows: 2, group: 0 };
    const [sums, largest, counts, lows, highs] = runOperator(operation(shape, x), instructionSet);
    const filled = (block: number) =>
      [...counts!.subarray(block * BINS, (block + 1) * BINS)].flatMap((n, bin) => (n ? [[bin, n]] : []));
    // The first block's axis ends at 8, above 4, the second's at 4: bins are 1/8 and 1/16 wide, number 64 starts at 0.
    assert.deepEqual([sums![5], sums![11]], [8, 4]);
    assert.deepEqual(filled(0), [
      [32, 1],
      [63, 1],
      [64, 1],
      [96, 1],
    ]);
    assert.deepEqual(filled(1), [
      [68, 1],
      [112, 1],
    ]);
    assert.deepEqual([...largest!], [4, 4, 0.25, 3]);
    assert.deepEqual([...lows!, ...highs!], [-4, Math.fround(-0.01), 0.25, 4, 0, 3]);
    // 0.25 rounds to 0.5 (halves go up), all others of the second block are on the grid.
    assert.deepEqual([...sums!.subarray(6, 11)], [3.25, 9.0625, 27.015625, 81.00390625, 0.0625]);
  });
});

test('ActivationStatistics: what is not finite harms nothing else', { skip: notBuilt }, () => {
  const x = Float32Array.of(1, Number.NaN, 2, 3);
  forEachVariant((instructionSet) => {
    const shape = { rows: 2, channels: 2, blockRows: 2, group: 0 };
    const [sums, largest, counts] = runOperator(operation(shape, x), instructionSet);
    assert.deepEqual([...largest!], [2, 3]);
    assert.equal(sums![5], 4);
    assert.equal(
      counts!.reduce((sum, n) => sum + n, 0),
      4,
    );
    const infinite = runOperator(operation(shape, Float32Array.of(1, Infinity, 2, 3)), instructionSet);
    assert.equal(infinite[0]![5], Infinity);
  });
});

test('ActivationStatistics: a group that does not divide the channels is refused', { skip: notBuilt }, () => {
  const wrong = operation({ rows: 1, channels: 6, blockRows: 1, group: 4 }, new Float32Array(6));
  assert.throws(
    () => runOperator({ ...wrong, outputs: [SUMS, 6, BINS, 1, 1] }, 'portable'),
    /must be a multiple of group 4, found \[1, 6\]/,
  );
});
