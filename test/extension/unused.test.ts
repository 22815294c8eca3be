/** What a person is asked before shared results are deleted. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { unusedIn } from '../../src/extension/runs/unused.ts';

test('results that can go are counted by step with their sizes; those written to lately stay', () => {
  const result = (step: string | null, bytes: number, isFresh = false) => ({ step, bytes, isFresh });
  const first = { unused: [result('perplexity', 10), result('gptq', 2048)], unknown: [] };
  const second = {
    unused: [result('gptq', 1024), result(null, 100), result('llm-qat', 9e9, true)],
    unknown: [],
  };
  assert.deepEqual(unusedIn([first, second], 'unfinished'), {
    count: 4,
    bytes: 3182,
    lines: ['gptq: 2, 3.0 KiB', 'unfinished: 1, 100 B', 'perplexity: 1, 10 B'],
  });
  assert.deepEqual(unusedIn([], 'unfinished'), { count: 0, bytes: 0, lines: [] });
});
