import assert from 'node:assert/strict';
import test from 'node:test';
import { curve } from '../../scripts/fixtures/curves.mts';
import { finite, sayNumber } from '../../src/extension/panels/finite.ts';
import { RunHistory, stepColumns } from '../../src/extension/panels/training/history.ts';
import type { RunEvent, StepEvent } from '../../src/protocol/events.ts';

const startedAt = new Date(Date.UTC(2026, 0, 1));
const steps = curve({ shape: 'converging', seed: 1, steps: 20, of: 40, startedAt, secondsPerStep: 2 });
const at = (second: number): string => new Date(startedAt.getTime() + 1000 * second).toISOString();

const started = (resumedFromStep: number, second: number): RunEvent => ({
  type: 'run-started',
  time: at(second),
  job: 'optimize',
  run: null,
  bits: 'W4A4KV4',
  runtime: '',
  resumedFromStep,
});

test('events that come from the file and from the worker count once', () => {
  const warning: RunEvent = { type: 'warning', time: at(1), message: 'm', hint: 'h' };
  const history = new RunHistory([started(0, 0), warning, ...steps]);
  for (const event of [warning, ...steps.slice(-3)]) history.add(event);
  assert.equal(history.steps.length, 20);
  assert.equal(history.warnings.length, 1);
  assert.equal(history.of, 40);
});

test('a resumed run forgets the steps after its checkpoint', () => {
  const history = new RunHistory([started(0, 0), ...steps, started(12, 100)]);
  assert.deepEqual(
    history.steps.map(({ step }) => step),
    Array.from({ length: 12 }, (_, index) => index + 1),
  );
  history.add({ ...steps[12]!, loss: 9 });
  assert.equal(history.steps.at(-1)?.loss, 9);
});

test('the time left is the median pace of recent steps, while learning', () => {
  const paced = steps.map((step, index) => ({ ...step, seconds: index === 18 ? 500 : 3 }));
  const history = new RunHistory(paced);
  assert.equal(history.secondsLeft, 20 * 3);
  history.add({ type: 'phase', time: at(200), phase: 'learn', state: 'finished' });
  assert.equal(history.secondsLeft, null);
});

test('phases and evaluations are told while they last', () => {
  const history = new RunHistory([{ type: 'phase', time: at(1), phase: 'evaluate', state: 'started' }]);
  assert.equal(history.phase, 'evaluate');
  const progress = { type: 'evaluation-progress', name: 'w', variant: 'quantized' } as const;
  history.add({ ...progress, time: at(2), windowsDone: 1, windows: 3, runningPerplexity: 8 });
  assert.equal(history.evaluating?.windowsDone, 1);
  const evaluation = {
    type: 'evaluation',
    name: 'w',
    variant: 'quantized',
    windows: 3,
    tokens: 9,
    seconds: 1,
  } as const;
  history.add({ ...evaluation, time: at(3), perplexity: 7 });
  history.add({ ...evaluation, time: at(4), perplexity: 6 });
  assert.equal(history.evaluating, null);
  assert.deepEqual(
    history.evaluations.map(({ perplexity }) => perplexity),
    [6],
    'the last measurement counts',
  );
});

test('what is not a number becomes null, as JSON writes it', () => {
  const throughJson = JSON.parse(JSON.stringify({ ...steps[0], loss: Number.NaN })) as StepEvent;
  assert.equal(throughJson.loss, null);
  for (const loss of [throughJson.loss, Number.NaN, Number.POSITIVE_INFINITY])
    assert.deepEqual(stepColumns([{ ...steps[0]!, loss }]).loss, [null]);
  assert.equal(finite(undefined), null);
  assert.equal(sayNumber(Number.NaN, String), '–');
});

test('a long run is thinned out, but keeps its last step and every gap', () => {
  const long = Array.from({ length: 5000 }, (_, index) => ({
    ...steps[0]!,
    step: index + 1,
    of: 5000,
    loss: index === 1234 ? Number.NaN : 2,
  }));
  const columns = stepColumns(long);
  assert.ok(columns.step.length <= 1002, `${columns.step.length} points`);
  assert.equal(columns.step.at(-1), 5000);
  assert.ok(columns.step.includes(1235));
});
