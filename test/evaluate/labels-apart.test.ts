/** Answers in a file of their own: found beside the questions, and told by name where they are not there. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TaskName } from '../../src/config/index.ts';
import { readQuestions } from '../../src/engine/evaluate/tasks/read-questions.ts';
import { temporaryFolder } from '../formats/support.ts';

const PIQA = { goal: 'To cut bread', sol1: 'use a knife', sol2: 'use a spoon' };
const SIQA = { context: 'Kim ran.', question: 'Why?', answerA: 'late', answerB: 'rain', answerC: 'fun' };

function questionsOf(t: TestContext, task: TaskName, row: object, labels?: string) {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'dev.jsonl'), `${JSON.stringify(row)}\n`);
  if (labels !== undefined) writeFileSync(join(folder, 'dev-labels.lst'), labels);
  return { folder, read: () => readQuestions({ task, data: folder, isAround: false, limit: null }) };
}

test('the answers are read from the file beside the questions', async (t) => {
  const gold = async (task: TaskName, row: object, labels: string) =>
    (await questionsOf(t, task, row, labels).read()).map((question) => question.gold);
  assert.deepEqual(await gold('piqa', PIQA, '1\n'), [1]);
  assert.deepEqual(await gold('social_iqa', SIQA, '3\n'), [2]);
});

test('a file of answers that is missing is told by its name, with what to do', async (t) => {
  for (const [task, row] of [
    ['piqa', PIQA],
    ['social_iqa', SIQA],
  ] as const) {
    const { folder, read } = questionsOf(t, task, row);
    await assert.rejects(read(), (fault: Error & { code: string; hint: string }) => {
      assert.equal(fault.code, 'tasks/labels');
      assert.ok(fault.message.startsWith(`${join(folder, 'dev-labels.lst')} is not there: `), fault.message);
      assert.match(fault.hint, /^Put dev-labels\.lst of the same download there, with one answer a line/);
      return true;
    });
  }
});

test('another field that is missing, and an answer of another task, stay what they are', async (t) => {
  const { goal: _, ...rest } = PIQA;
  const other = questionsOf(t, 'piqa', rest);
  await assert.rejects(other.read(), { code: 'tasks/row', message: /:1: the field "goal" is missing/ });
  const hellaswag = questionsOf(t, 'hellaswag', { ctx: 'A', activity_label: 'B', endings: ['a', 'b'] });
  await assert.rejects(hellaswag.read(), { code: 'tasks/row', message: /the field "label" is missing/ });
});
