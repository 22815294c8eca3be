/** Numbers of the quality table: those of before stay, each until it is measured again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withTables } from '../../bench/quality/table/document.ts';
import type { Entry, Filled } from '../../bench/quality/table/fill.ts';
import { mergedWith } from '../../bench/quality/table/merge.ts';

const entry = (method: string, seed: number | null, value: number): Entry => ({
  method,
  title: method,
  bits: '4-4-4',
  seed,
  metric: 'perplexity',
  name: 'text',
  value,
  seconds: 1,
  peakBytes: 1,
});

const filled = (...entries: Entry[]): Filled => ({ model: 'm', title: 'M', entries });

test('a row or a seed that is measured leaves the others as they are', () => {
  const before = filled(entry('best', 0, 8), entry('best', 1, 9), entry('groups', 0, 7));
  const now = filled(entry('best', 1, 8.5), entry('rtn', null, 20));
  assert.deepEqual(mergedWith(before, now).entries, [
    entry('best', 0, 8),
    entry('best', 1, 8.5),
    entry('groups', 0, 7),
    entry('rtn', null, 20),
  ]);
  assert.deepEqual(mergedWith(undefined, now), now);
});

test('the document has the mean and range of what was merged', () => {
  const all = mergedWith(filled(entry('best', 0, 8)), filled(entry('best', 1, 9)));
  const text = withTables('<!-- table: perplexity -->\nold\n<!-- /table -->', [all]);
  assert.match(text, /\| best \| 8\.500 \(8\.000 … 9\.000, 2 seeds\) \|/);
});
