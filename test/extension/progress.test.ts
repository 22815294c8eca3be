import assert from 'node:assert/strict';
import test from 'node:test';
import { ProgressOfJobs } from '../../src/extension/jobs/progress.ts';
import { runControl } from '../../src/extension/panels/training/state.ts';
import type { Job, JobState } from '../../src/extension/services.ts';
import type { CellEvent, PhaseEvent, PhaseName, RunEvent } from '../../src/protocol/events.ts';
import { advance, NO_PROGRESS, type Progress } from '../../src/protocol/progress.ts';

const at = (second: number): string => new Date(1000 * second).toISOString();
const follow = (...events: readonly RunEvent[]): Progress => events.reduce(advance, NO_PROGRESS);

const phase = (name: PhaseName, state: PhaseEvent['state'], second = 0): RunEvent => ({
  type: 'phase',
  time: at(second),
  phase: name,
  state,
});

const step = (number: number, seconds: number, of = 10): RunEvent => ({
  type: 'step',
  time: at(number),
  step: number,
  of,
  loss: 1,
  gradientNorm: 1,
  learningRate: 1,
  stepCap: { r1: null, r2Max: null },
  orthogonalityError: 0,
  distanceFromStart: { r1: null, r2: null },
  seconds,
  tokens: 1,
});

const rounding = (second: number, layersDone: number, done: number): RunEvent => ({
  type: 'rounding-progress',
  time: at(second),
  method: 'gptq',
  layersDone,
  layers: 30,
  done,
});

const evaluating = (windowsDone: number): RunEvent => ({
  type: 'evaluation-progress',
  time: at(500),
  name: 'wiki',
  variant: 'quantized',
  windowsDone,
  windows: 12,
  runningPerplexity: 8,
});

const evaluated: RunEvent = {
  type: 'evaluation',
  time: at(600),
  name: 'wiki',
  variant: 'quantized',
  perplexity: 8,
  windows: 12,
  tokens: 99,
  seconds: 1,
};

const started = (resumedFromStep: number): RunEvent => ({
  type: 'run-started',
  time: at(0),
  job: 'optimize',
  run: null,
  bits: 'W4A4KV4',
  runtime: '',
  resumedFromStep,
});

test('steps: how many, and the time left at their median pace', () => {
  const learning = follow(started(0), phase('learn', 'started'), step(1, 9), step(2, 3), step(3, 3));
  assert.deepEqual([learning.phase, learning.underWay, learning.step, learning.of], ['learn', true, 3, 10]);
  assert.equal(learning.secondsLeft, 7 * 3);
  assert.equal(
    advance(learning, step(4, 3600)).secondsLeft,
    6 * 9,
    'a machine that slept does not decide it alone',
  );
  const over = advance(learning, phase('learn', 'finished'));
  assert.deepEqual([over.phase, over.underWay, over.step, over.secondsLeft], ['learn', false, 3, null]);
});

test('only the newest steps decide the pace', () => {
  const steps = Array.from({ length: 30 }, (_, index) => step(index + 1, index < 15 ? 100 : 2, 40));
  assert.equal(follow(...steps).secondsLeft, 10 * 2);
  assert.equal(follow(...steps).stepSeconds.length, 10);
});

test('rounding: method, layers, share and time left, until its phase ends', () => {
  const early = follow(phase('round', 'started', 100), rounding(101, 0, 0.001));
  assert.equal(early.secondsLeft, null, 'too early to say');
  const present = advance(early, rounding(120, 6, 0.2));
  assert.equal(present.phase, 'round');
  assert.deepEqual([present.rounding?.method, present.rounding?.layersDone], ['gptq', 6]);
  assert.ok(Math.abs(present.secondsLeft! - 80) < 1e-9, '20 s for a fifth');
  const over = advance(present, phase('round', 'finished'));
  assert.deepEqual([over.rounding, over.secondsLeft], [null, null]);
  assert.equal(follow(rounding(120, 6, 0.2)).secondsLeft, null, 'nobody said when it began');
});

test('evaluation: windows, until the text is measured', () => {
  const present = follow(phase('evaluate', 'started'), evaluating(5));
  assert.equal(present.evaluation?.windowsDone, 5);
  const over = advance(present, evaluated);
  assert.deepEqual([over.phase, over.underWay, over.evaluation], ['evaluate', true, null]);
});

test('a phase forgets the numbers of the one before, except the steps', () => {
  const rounded = follow(step(10, 2), phase('round', 'started', 1), rounding(9, 3, 0.1));
  const next = advance(rounded, phase('evaluate', 'started', 10));
  assert.deepEqual(
    [next.rounding, next.secondsLeft, next.phaseStartedAt, next.step],
    [null, null, at(10), 10],
  );
});

test('a remark, which is an end without a beginning, ends no other phase', () => {
  const loading = follow(phase('load', 'started'), phase('prepare', 'finished'));
  assert.deepEqual([loading.phase, loading.underWay], ['load', true]);
});

test('steps go on after a phase inside of learning', () => {
  const checked = follow(phase('learn', 'started'), phase('preserve-check', 'started'));
  const learning = [phase('preserve-check', 'finished'), step(1, 2)].reduce(advance, checked);
  assert.deepEqual([learning.phase, learning.underWay, learning.secondsLeft], ['learn', true, 18]);
});

test('a run that resumes begins at its checkpoint, and knows how many steps it makes', () => {
  const before = follow(started(0), step(1, 2), step(2, 2), phase('evaluate', 'started'));
  const resumed = advance(before, started(1));
  assert.deepEqual([resumed.phase, resumed.step, resumed.of, resumed.stepSeconds], [null, 1, 10, []]);
});

test('at the end nothing is under way', () => {
  const end: RunEvent = { type: 'run-finished', time: at(900), status: 'cancelled', seconds: 900 };
  const over = follow(phase('evaluate', 'started'), evaluating(5), end);
  assert.deepEqual([over.underWay, over.evaluation, over.secondsLeft], [false, null, null]);
});

const job = (id: string, state: JobState): Job => ({
  id,
  kind: 'optimize',
  experiment: '/lab/quick.spinquant.json',
  state,
  runDir: null,
  message: null,
});

test('a job that is queued, or cancelled while it waits, leaves the progress of the running one', () => {
  const jobs = new ProgressOfJobs();
  jobs.changed(job('job-1', 'running'));
  jobs.hear(job('job-1', 'running'), step(4, 2));
  jobs.changed(job('job-2', 'waiting'));
  assert.equal(jobs.of('job-1').step, 4);
  jobs.changed(job('job-2', 'cancelled'));
  assert.equal(jobs.of('job-1').step, 4);
  assert.deepEqual(jobs.of('job-2'), NO_PROGRESS);
});

test('each job begins from nothing, and one that has ended is forgotten', () => {
  const jobs = new ProgressOfJobs();
  jobs.hear(job('job-1', 'running'), step(9, 2));
  jobs.changed(job('job-1', 'finished'));
  jobs.changed(job('job-2', 'running'));
  assert.deepEqual([jobs.of('job-1'), jobs.of('job-2')], [NO_PROGRESS, NO_PROGRESS]);
});

test('a run at work is at work, whatever else waits for it', () => {
  const none = { waiting: false, running: false, resumable: false };
  assert.deepEqual(runControl([], false), none);
  assert.deepEqual(runControl(['finished', 'waiting'], false), { ...none, waiting: true });
  assert.deepEqual(runControl(['running', 'waiting'], false), { ...none, running: true });
});

const cell = (number: number, state: CellEvent['state'] = 'started'): CellEvent => ({
  ...{ type: 'cell', time: at(number), state, cell: number, cells: 60 },
  ...{ bits: '4-4-4', method: 'gptq', title: 'GPTQ', seed: 0, seeded: true, run: null },
});

test('a job that fills a table knows its cell, also after the run of the cell has begun; the next begins from nothing', () => {
  const started: RunEvent = {
    ...{ type: 'run-started', time: at(1), job: 'evaluate', run: '/r', bits: 'W4A4KV4', runtime: '' },
    resumedFromStep: 0,
  };
  const inside = follow(cell(12), started, phase('evaluate', 'started'), evaluating(5));
  assert.equal(inside.cell?.cell, 12);
  assert.equal(inside.evaluation?.windowsDone, 5);
  const next = advance(inside, cell(13, 'kept'));
  assert.deepEqual([next.cell?.cell, next.evaluation, next.phase], [13, null, null]);
  assert.equal(follow(started, evaluating(5)).cell, null);
});
