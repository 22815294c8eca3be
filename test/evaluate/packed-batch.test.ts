/** Which rows the tokens of a batch share, against a look at every beginning. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Batch, batchesOf } from '../../src/engine/evaluate/tasks/batches.ts';
import { packBatch } from '../../src/engine/evaluate/tasks/packed-batch.ts';
import { shareInputs } from '../../src/engine/evaluate/tasks/shared-inputs.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { ropeLimits } from '../../src/engine/model/rope.ts';
import { noise } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

/** Short sequences of few ids, so that many begin alike. */
function someSequences(count: number, seed: number): readonly Int32Array[] {
  const random = noise(seed);
  const below = (most: number) => Math.floor(((random() + 1) / 2) * most);
  const inputs = Array.from({ length: count }, () =>
    Int32Array.from({ length: 1 + below(9) }, () => 5 + below(2)),
  );
  return shareInputs(inputs).sequences;
}

/** The beginning that ends with a token, as a text. */
const beginning = (sequence: Int32Array, at: number): string => sequence.subarray(0, at + 1).join(' ');

for (const seed of [1, 2, 3]) {
  test(`tokens share a row where their sequences begin alike, and nowhere else (seed ${seed})`, () => {
    const sequences = someSequences(40, seed);
    const places = sequences.map((_, i) => i);
    // In an order of its own, with some left out: a batch is any choice of sequences.
    const members = places
      .filter((i) => i % 3 !== 0)
      .sort((a, b) => ((a * 7) % 11) - ((b * 7) % 11) || a - b);
    const batch: Batch = { members, rows: members.length + 2, length: 12 };
    const { ids, shape, sharing } = packBatch(batch, sequences);
    const [rowOfToken, tokenOfRow] = [sharing.rowOfToken.data, sharing.tokenOfRow.data];
    assert.deepEqual(shape, { batch: batch.rows, sequence: 12, rows: ids.length });
    assert.deepEqual([rowOfToken.length, tokenOfRow.length], [batch.rows * 12, ids.length]);
    const rows = new Map<string, bigint>();
    for (const [place, member] of members.entries()) {
      for (const [at, id] of sequences[member]!.entries()) {
        const row = rowOfToken[place * 12 + at]!;
        const known = rows.get(beginning(sequences[member]!, at)) ?? row;
        assert.equal(row, known, 'equal beginnings have one row');
        rows.set(beginning(sequences[member]!, at), row);
        assert.equal(ids[Number(row)], id);
        const token = Number(tokenOfRow[Number(row)]);
        const [owner, behind] = [members[Math.floor(token / 12)]!, token % 12];
        assert.equal(beginning(sequences[owner]!, behind), beginning(sequences[member]!, at));
      }
    }
    assert.equal(new Set(rows.values()).size, rows.size, 'different beginnings have different rows');
    assert.ok(ids.length < 1.25 * rows.size + 8, `${ids.length} rows for ${rows.size} beginnings`);
  });
}

test('the sequences of a question stay in one batch, unless they are too many for one', () => {
  const lengths = [9, 10, 3, 4, 4, 20, 20, 20, 5];
  const families = [[0, 1], [2, 3, 4], [5, 6, 7], [8]];
  const batches = batchesOf(families, lengths, 48, [32]);
  assert.deepEqual(
    batches.map(({ members }) => members),
    // Of 24 tokens there is room for two; of 16 for three: a question with three sequences needs a batch of its own.
    [[5, 6], [7], [0, 1, 8], [2, 3, 4]],
  );
  for (const { rows, length, members } of batches) {
    assert.ok(rows * length <= 48 && rows >= members.length);
    assert.ok(members.every((one) => lengths[one]! <= length));
  }
});

test('batches have no more positions than the model', () => {
  const [batch] = batchesOf([[0]], [30], 256, [30]);
  assert.equal(batch?.length, 30);
});

test('no batch has sequences on both sides of a length where LongRoPE turns by other angles', async () => {
  const { config } = await openCheckpoint(goldenFolder('llama'));
  const turned = { shortFactor: [], longFactor: [], originalMaxPositions: 27, attentionFactor: 1 };
  const limits = ropeLimits({ ...config, ropeScaling: { type: 'longrope', ...turned } });
  assert.deepEqual(limits, [27, config.maxPositions]);
  assert.deepEqual(ropeLimits(config), [config.maxPositions]);
  const batches = batchesOf([[0, 1], [2]], [26, 28, 29], 256, limits);
  assert.deepEqual(
    batches.map(({ members, length }) => [members, length]),
    [
      [[2, 1], 32],
      // Rounded to 32 it would be turned like the longer ones.
      [[0], 27],
    ],
  );
});
