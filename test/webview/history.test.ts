import assert from 'node:assert/strict';
import test from 'node:test';
import { curve } from '../../scripts/fixtures/curves.mts';
import { roundingEvents } from '../../scripts/fixtures/rounding.mts';
import { experimentSchema } from '../../src/config/index.ts';
import { finite, sayNumber } from '../../src/extension/panels/finite.ts';
import { rowsFrom, rowsKept, stepColumns, thinned } from '../../src/extension/panels/training/history.ts';
import { learningFacts } from '../../src/extension/panels/training/learning.ts';
import { roundingErrors } from '../../src/extension/panels/training/rounding.ts';
import type { RunEvent, StepEvent } from '../../src/protocol/events.ts';
import type { StepColumns, TrainingState } from '../../src/protocol/panels/training.ts';
import { RunHistory } from '../../src/runs/index.ts';
import { mergeCurves } from '../../webview/training/merge.ts';

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
  assert.equal(history.progress.of, 40);
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

test('a run that is measured again keeps its steps', () => {
  const measured: RunEvent = { ...started(0, 100), job: 'evaluate' } as RunEvent;
  const history = new RunHistory([started(0, 0), ...steps, measured]);
  assert.equal(history.steps.length, 20);
  assert.equal(history.learns, true);
});

test('the progress is that of the events, whichever come twice', () => {
  const paced = steps.map((step, index) => ({ ...step, seconds: index === 18 ? 500 : 3 }));
  const history = new RunHistory(paced);
  for (const step of paced.slice(-5)) history.add(step);
  assert.deepEqual([history.progress.step, history.progress.secondsLeft], [20, 20 * 3]);
  history.add({ type: 'phase', time: at(200), phase: 'learn', state: 'finished' });
  history.add(paced.at(-1)!);
  assert.deepEqual([history.phase, history.progress.secondsLeft], [null, null]);
});

test('phases and evaluations are told while they last', () => {
  const history = new RunHistory([{ type: 'phase', time: at(1), phase: 'evaluate', state: 'started' }]);
  assert.equal(history.phase, 'evaluate');
  const progress = { type: 'evaluation-progress', name: 'w', variant: 'quantized' } as const;
  history.add({ ...progress, time: at(2), windowsDone: 1, windows: 3, runningPerplexity: 8 });
  assert.equal(history.progress.evaluation?.windowsDone, 1);
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
  assert.equal(history.progress.evaluation, null);
  assert.deepEqual(
    history.evaluations.map(({ perplexity }) => perplexity),
    [6],
    'the last measurement counts',
  );
});

const rounding = (layersDone: number, second: number): RunEvent[] =>
  roundingEvents({
    seed: 1,
    layers: 4,
    layersDone,
    startedAt: new Date(startedAt.getTime() + 1000 * second),
    secondsPerLayer: 10,
  });

test('rounding is told while it lasts, with the time left; its errors stay', () => {
  const events = rounding(4, 100);
  const history = new RunHistory([...steps, ...events.slice(0, 1)]);
  assert.equal(history.phase, 'round');
  assert.equal(history.progress.rounding?.layersDone, undefined, 'nothing is known before the first layer');
  assert.deepEqual(history.rounded, []);
  for (const event of [...events.slice(1, 3), ...events.slice(0, 3)]) history.add(event);
  assert.equal(history.progress.rounding?.layersDone, 1);
  assert.equal(history.progress.secondsLeft, 30);
  assert.equal(history.rounded.length, 1, 'events that come twice count once');
  for (const event of events.slice(3)) history.add(event);
  assert.deepEqual([history.progress.rounding, history.phase], [null, null]);
  assert.deepEqual(
    history.rounded.map(({ layer }) => layer),
    [0, 1, 2, 3],
  );
});

test('a run that rounds once more forgets the errors of before', () => {
  const history = new RunHistory([...rounding(4, 100), started(20, 200), ...rounding(2, 300)]);
  assert.deepEqual(
    history.rounded.map(({ layer, time }) => [layer, time]),
    [
      [0, at(310)],
      [1, at(320)],
    ],
  );
  assert.equal(history.progress.rounding?.layersDone, 2);
});

test('errors of rounding become columns by linear layer', () => {
  assert.equal(roundingErrors([]), null);
  const { rounded } = new RunHistory(rounding(3, 0));
  const broken = { linear: 'q', error: Number.NaN, nearest: 0.01 };
  const columns = roundingErrors([...rounded.slice(0, 2), { ...rounded[2]!, errors: [broken] }])!;
  assert.deepEqual([columns.layers, columns.layer], [4, [0, 1, 2]]);
  assert.deepEqual(
    columns.linears.map(({ name }) => name),
    ['q', 'k', 'v', 'o', 'gate', 'up', 'down'],
  );
  const [q, k] = columns.linears;
  assert.equal(q!.error[0], rounded[0]!.errors[0]!.error);
  assert.deepEqual([q!.error[2], q!.nearest[2]], [null, 0.01]);
  assert.deepEqual([k!.error[2], k!.nearest[2]], [null, null], 'not measured there');
});

test('what is not a number becomes null, as JSON writes it', () => {
  const throughJson = JSON.parse(JSON.stringify({ ...steps[0], loss: Number.NaN })) as StepEvent;
  assert.equal(throughJson.loss, null);
  for (const loss of [throughJson.loss, Number.NaN, Number.POSITIVE_INFINITY])
    assert.deepEqual(stepColumns([{ ...steps[0]!, loss }], 10).loss, [null]);
  assert.equal(finite(undefined), null);
  assert.equal(sayNumber(Number.NaN, String), '–');
});

test('the objective of a run is known; Adam has neither cap nor clip', () => {
  const factsOf = (learning: object) =>
    learningFacts(experimentSchema.parse({ model: 'm', rotation: { learning } }).rotation.learning);
  const common = { plannedSteps: 100, objective: 'cross-entropy' };
  assert.deepEqual(factsOf({}), { ...common, gradientClip: 1, cayley: true });
  assert.deepEqual(factsOf({ optimizer: 'lie-adam' }), { ...common, gradientClip: null, cayley: false });
  assert.deepEqual(factsOf({ objective: 'peak' }), {
    plannedSteps: 200,
    gradientClip: null,
    objective: 'peak',
    cayley: false,
  });
});

const longRun = (count: number, lossOf: (index: number) => number = (index) => 2 + Math.sin(index)) =>
  Array.from({ length: count }, (_, index) => ({
    ...steps[0]!,
    step: index + 1,
    of: count,
    loss: lossOf(index),
    seconds: 0.5,
  }));

test('a long run is thinned out, but keeps its last step, every gap and every peak', () => {
  const peak = 3456;
  const columns = thinned(
    stepColumns(
      longRun(5000, (index) => (index === 1234 ? Number.NaN : index === peak ? 9 : 2 + Math.sin(index))),
      10,
    ),
  );
  assert.ok(columns.step.length <= 1000 + 2 * 16, `${columns.step.length} points`);
  assert.equal(columns.step.at(-1), 5000);
  assert.ok(columns.step.includes(1235));
  assert.equal(columns.loss[columns.step.indexOf(peak + 1)], 9);
  assert.equal(columns.elapsed.at(-1), 2500, 'the time of all steps, drawn or not');
});

test('of a run that goes on, only what is new is sent, and the page has what the host has', () => {
  let page: StepColumns | null = null;
  let sent = 0;
  let before: StepColumns | undefined;
  for (let count = 4100; count <= 4200; count += 10) {
    const now = thinned(stepColumns(longRun(count), 10));
    const kept = rowsKept(before, now);
    const tail = rowsFrom(now, kept);
    if (page !== null) sent += tail.step.length;
    const state = (steps: StepColumns, from: number) =>
      ({ curves: [{ dir: '/a', kept: from, steps }] }) as unknown as TrainingState;
    page = mergeCurves(state(tail, kept), page && state(page, 0)).curves[0]!.steps;
    assert.deepEqual(page, now);
    before = now;
  }
  // Ten steps, and those of the stretch of sixteen that was not whole before: never the thousand of all.
  assert.ok(sent <= 10 * (10 + 16), `${sent} rows in ten messages`);
});

test('the mean of the loss is over all steps, drawn or not, and begins anew after a gap', () => {
  const { trend, loss } = stepColumns(
    longRun(60, (index) => (index === 36 ? Number.NaN : index % 7)),
    10,
  );
  const mean = (from: number, to: number) =>
    (loss.slice(from, to) as number[]).reduce((sum, value) => sum + value, 0) / (to - from);
  assert.deepEqual(trend.slice(0, 2), [null, null]);
  assert.ok(Math.abs(trend[9]! - mean(0, 10)) < 1e-12);
  assert.ok(Math.abs(trend[35]! - mean(26, 36)) < 1e-12);
  assert.deepEqual(trend.slice(36, 39), [null, null, null]);
  assert.ok(Math.abs(trend[39]! - mean(37, 40)) < 1e-12);
});
