import assert from 'node:assert/strict';
import test from 'node:test';
import { ExperimentEstimates } from '../../src/extension/experiments/estimates.ts';
import type { CheckParams, EstimateResult } from '../../src/protocol/worker.ts';

const COST: EstimateResult = { seconds: 8, peakBytes: 3e8 };

function estimates(answer: (params: CheckParams) => EstimateResult | null) {
  const asked: string[] = [];
  const warnings: string[] = [];
  const state = { busy: false, changes: 0 };
  const made = new ExperimentEstimates(
    {
      ask: async (params) => {
        asked.push(params.text);
        return answer(params);
      },
      mayAsk: () => !state.busy,
    },
    { warn: (message) => warnings.push(message) },
  );
  made.onDidChange(() => state.changes++);
  return { made, asked, warnings, state };
}

test('a text that is being written is asked about once it rests; until then the one of before stands', async () => {
  const { made, asked, state } = estimates(({ text }) => ({ ...COST, seconds: text.length }));
  assert.equal(made.of('/x', 'a'), null);
  assert.equal(made.of('/x', 'ab'), null);
  assert.deepEqual(await made.soon('/x', 'abc', 10_000), { ...COST, seconds: 3 });
  assert.deepEqual([asked, state.changes], [['abc'], 1]);
  assert.deepEqual(made.of('/x', 'abcd'), { ...COST, seconds: 3 });
  assert.deepEqual(await made.soon('/x', 'abcd', 10_000), { ...COST, seconds: 4 });
});

test('nobody is asked while a job runs, and everything is asked again when it has ended', async () => {
  const { made, asked, state } = estimates(() => COST);
  state.busy = true;
  assert.equal(await made.soon('/x', 'a', 10_000), null);
  state.busy = false;
  assert.deepEqual(await made.soon('/x', 'a', 10_000), COST);
  made.of('/x', 'a');
  assert.deepEqual(asked, ['a']);
  made.jobEnded();
  await made.soon('/x', 'a', 10_000);
  assert.deepEqual(asked, ['a', 'a']);
  assert.equal(state.changes, 1, 'the same answer is no change');
});

test('a failure is logged and is no estimate, and who waits is not kept for ever', async () => {
  const { made, warnings } = estimates(() => {
    throw new Error('the worker is gone');
  });
  assert.equal(await made.soon('/x', 'a', 10_000), null);
  assert.match(warnings.join(), /was not estimated: the worker is gone/);
  const slow = new ExperimentEstimates(
    { ask: () => new Promise(() => {}), mayAsk: () => true },
    { warn: () => {} },
  );
  assert.equal(await slow.soon('/x', 'a', 5), null);
});
