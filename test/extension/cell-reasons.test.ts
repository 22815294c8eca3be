/** The panel asks the worker once for each text and model why cells stay empty, and never waits for the answer. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { WorkerCellReasons } from '../../src/extension/experiments/cell-reasons.ts';
import type { CellReasons } from '../../src/protocol/worker.ts';

const ASKED = { file: '/a.spinquant.json', text: '{}', modelTime: 1 };

function reasonsBy(answer: (text: string) => Promise<CellReasons>) {
  const asked: string[] = [];
  const warnings: string[] = [];
  const log = { warn: (message: string) => void warnings.push(message) };
  const reasons = new WorkerCellReasons(({ text }) => {
    asked.push(text);
    return answer(text);
  }, log);
  let changes = 0;
  reasons.onDidChange(() => changes++);
  return { reasons, asked, warnings, changes: () => changes };
}

test('what the worker answers is told once, and asked again for another text or model', async () => {
  const { reasons, asked, changes } = reasonsBy(async (text) => ({ key: text }));
  assert.deepEqual(reasons.of(ASKED), {});
  assert.deepEqual(reasons.of(ASKED), {});
  await setImmediate();
  assert.deepEqual([reasons.of(ASKED), changes(), asked.length], [{ key: '{}' }, 1, 1]);
  const edited = { ...ASKED, text: '{ }' };
  assert.deepEqual(reasons.of(edited), { key: '{}' }, 'those of before stand until the answer');
  await setImmediate();
  assert.deepEqual([reasons.of(edited), changes()], [{ key: '{ }' }, 2]);
  reasons.of({ ...edited, modelTime: 2 });
  await reasons.told(ASKED.file);
  assert.deepEqual([asked.length, changes()], [3, 2], 'an equal answer changes nothing');
});

test('an answer to a text of before is dropped', async () => {
  const open: ((reasons: CellReasons) => void)[] = [];
  const { reasons, changes } = reasonsBy(() => new Promise((resolve) => open.push(resolve)));
  reasons.of(ASKED);
  const edited = { ...ASKED, text: '{ }' };
  reasons.of(edited);
  open[1]?.({ key: 'new' });
  await setImmediate();
  open[0]?.({ key: 'old' });
  await setImmediate();
  assert.deepEqual([reasons.of(edited), changes()], [{ key: 'new' }, 1]);
});

test('a worker that cannot answer is asked again after a while, and not at every look', async (t: TestContext) => {
  t.mock.timers.enable({ apis: ['Date'] });
  const { reasons, asked, warnings } = reasonsBy(() => Promise.reject(new Error('not trusted')));
  reasons.of(ASKED);
  await setImmediate();
  reasons.of(ASKED);
  assert.deepEqual([asked.length, warnings.length], [1, 1]);
  assert.match(warnings[0] ?? '', /a\.spinquant\.json was not compared with its model: not trusted/);
  t.mock.timers.tick(60_000);
  reasons.of(ASKED);
  assert.equal(asked.length, 2);
});
