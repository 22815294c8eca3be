import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { readQuestions } from '../../src/engine/evaluate/tasks/read-questions.ts';

const FILE = join(import.meta.dirname, '../fixtures/parquet/arc-test.parquet');

test('questions are read from parquet as the Hub has them, with lists inside of objects', async () => {
  const data = { task: 'arc_easy', data: FILE, isAround: false, limit: null } as const;
  const questions = await readQuestions(data);
  assert.deepEqual(
    questions.map(({ gold, choices }) => [gold, choices.length]),
    [
      [0, 3],
      [1, 2],
    ],
  );
  assert.match(JSON.stringify(questions[0]?.choices[1]), /What is wet\?.*sand/);
  assert.match(questions[1]?.place() ?? '', /arc-test\.parquet: row 2$/);
});
