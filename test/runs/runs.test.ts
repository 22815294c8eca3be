import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { type RunEvent, timed } from '../../src/protocol/events.ts';
import {
  createRun,
  EventLog,
  FROM_THE_START,
  isResumable,
  listRuns,
  type NewResults,
  openRun,
  type Run,
  readEventsFrom,
  writeJson,
} from '../../src/runs/index.ts';
import { experimentIn, step } from './run-of.ts';

const checkpoint = (number: number) => timed({ type: 'checkpoint', step: number });
const started = () => timed({ type: 'phase', phase: 'learn', state: 'started' });

/** `phase step1 step2 checkpoint2` */
async function shapeOf(run: Run): Promise<string> {
  const events = await run.readEvents();
  return events
    .map((e) => (e.type === 'step' || e.type === 'checkpoint' ? e.type + e.step : e.type))
    .join(' ');
}

test('a new run holds its experiment and is running', async (t) => {
  const experiment = await experimentIn(t);
  const run = createRun(experiment, 'quick');
  assert.match(run.record.id, /^\d{8}T\d{6}Z-quick$/);
  assert.equal(run.dir, join(experiment.runs, run.record.id));
  const opened = await openRun(run.dir);
  assert.equal(opened.record.status, 'running');
  assert.equal(opened.record.bits, 'W4A4KV4');
  assert.equal(opened.experimentFile, experiment.source.file);
  assert.deepEqual(await opened.readExperiment(), experiment);
});

test('two runs of one second get two folders; the list is newest first', async (t) => {
  const experiment = await experimentIn(t);
  const ids = [createRun(experiment, 'a'), createRun(experiment, 'a')].map((run) => run.record.id);
  assert.notEqual(ids[0], ids[1]);
  mkdirSync(join(experiment.runs, 'damaged'));
  writeFileSync(join(experiment.runs, 'damaged', 'run.json'), '{ "version": 2 }');
  const { runs, damaged } = await listRuns(experiment.runs);
  assert.deepEqual(
    runs.map((run) => run.record.id),
    ids.reverse(),
  );
  assert.equal(damaged.length, 1);
  assert.deepEqual(await listRuns(join(experiment.runs, 'nothing')), { runs: [], damaged: [] });
});

test('events are read back; a torn last line is ignored and then cut', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  for (const event of [started(), step(1)]) run.appendEvent(event);
  run.finish('cancelled');
  appendFileSync(run.path('events'), '{"type":"step","step":2,"lo');
  assert.equal(await shapeOf(run), 'phase step1');
  const resumed = await openRun(run.dir);
  await resumed.claim();
  resumed.resume();
  resumed.appendEvent(step(2));
  assert.equal(await shapeOf(resumed), 'phase step1 step2');
});

test('a line in the middle that is not an event is told of in its place, and costs no other', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  const torn = [
    '{"type":"step","st',
    'garbage',
    'null',
    '{"type":"step","time":"2026-01-01T00:00:00.000Z"}',
    '{}',
  ];
  run.appendEvent(step(1));
  appendFileSync(run.path('events'), torn.map((line) => `${line}\n`).join(''));
  run.appendEvent(step(2));
  assert.equal(await shapeOf(run), 'step1 warning warning warning warning warning step2');
  const [, ...said] = await run.readEvents();
  for (const [index] of torn.entries()) {
    const event = said[index]!;
    assert.ok(event.type === 'warning');
    assert.match(event.message, new RegExp(`events\\.jsonl:${index + 2} is left out: `));
  }
  run.truncateEventsAfterStep(1);
  assert.equal(await shapeOf(run), 'step1');
});

test('events after a checkpoint are dropped when a run resumes from it', async (t) => {
  const cases: [number, string][] = [
    [4, 'phase step1 step2 checkpoint2 step3 step4'],
    [2, 'phase step1 step2 checkpoint2'],
    [1, 'phase step1'],
    [0, 'phase'],
  ];
  const run = createRun(await experimentIn(t), 'q');
  for (const event of [started(), step(1), step(2), checkpoint(2), step(3), step(4)]) run.appendEvent(event);
  for (const [after, expected] of cases) {
    run.truncateEventsAfterStep(after);
    assert.equal(await shapeOf(run), expected, `after ${after}`);
  }
  run.appendEvent(step(1));
  assert.equal(await shapeOf(run), 'phase step1');
});

test('a run that was killed shows as interrupted, is resumable, and can be claimed', async (t) => {
  const experiment = await experimentIn(t);
  const dir = await runOfKilledProcess(experiment);
  const run = await openRun(dir);
  assert.equal(run.record.status, 'interrupted');
  assert.equal(await shapeOf(run), 'step1');
  assert.equal(isResumable(run), false, 'no checkpoint, nothing to go on from');
  mkdirSync(run.path('checkpoint'));
  assert.equal(isResumable(run), true);
  assert.equal(await run.claim(), null, 'that the process is dead is certain');
  run.resume();
  assert.equal((await openRun(dir)).record.status, 'running');
  assert.equal((await openRun(dir)).record.process.pid, process.pid);
});

/** Starts a run in another process, which is killed with SIGKILL in the middle of it. */
async function runOfKilledProcess(experiment: ResolvedExperiment): Promise<string> {
  const code = `
    const { createRun } = await import(${JSON.stringify(new URL('../../src/runs/index.ts', import.meta.url).href)});
    const run = createRun(${JSON.stringify(experiment)}, 'killed');
    run.appendEvent(${JSON.stringify(step(1))});
    console.log(run.dir);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = (await once(child.stdout, 'data')) as [Buffer];
  const dir = output.toString().trim();
  const alive = await openRun(dir);
  assert.equal(alive.record.status, 'running');
  await assert.rejects(alive.claim(), { code: 'runs/busy' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  return dir;
}

test('a pid that was given to another process is not the run', {
  skip: process.platform !== 'linux' && 'needs /proc',
}, async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.close();
  rmSync(run.path('lock'), { recursive: true });
  const record = { ...run.record, process: { ...run.record.process, startTicks: '1' } };
  writeJson(run.path('run'), record);
  assert.equal((await openRun(run.dir)).record.status, 'interrupted');
});

test('a failed run keeps its reason; results and activations are versioned', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.writeResults({
    version: 1,
    bits: 'W4A4KV4',
    loss: null,
    orthogonalityError: null,
    steps: 0,
    perplexity: [],
    seconds: {},
  });
  run.finish('failed', { code: 'x', message: 'no', hint: '' });
  const opened = await openRun(run.dir);
  assert.equal(opened.record.error?.message, 'no');
  assert.equal((await opened.readResults()).bits, 'W4A4KV4');
  writeJson(run.path('results'), { version: 9 });
  await assert.rejects(opened.readResults(), /version 9/);
  await assert.rejects(opened.readActivations(), { code: 'runs/unreadable' });
});

test('results say when they were measured; older files, which do not, are read too', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  const results = {
    version: 1,
    bits: 'W4A4KV4',
    loss: null,
    orthogonalityError: null,
    steps: 0,
    perplexity: [],
    seconds: {},
  } as const;
  const before = Date.now();
  run.writeResults({ ...results, measuredAt: '2001-01-01T00:00:00.000Z' } as NewResults);
  const { measuredAt } = await run.readResults();
  assert.match(measuredAt ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const time = Date.parse(measuredAt!);
  assert.ok(time >= before && time <= Date.now(), 'the time of this writing, not of one before');
  writeJson(run.path('results'), results);
  assert.deepEqual(await run.readResults(), { ...results, measuredAt: null });
});

test('writing leaves no temporary file and never half a file', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const before = readFileSync(run.path('run'), 'utf8');
  assert.throws(() => writeJson(run.path('run'), circular));
  assert.equal(readFileSync(run.path('run'), 'utf8'), before);
  assert.deepEqual(readdirSync(run.dir).sort(), ['experiment.json', 'lock', 'run.json']);
  assert.equal(existsSync(run.path('events')), false);
});

test('a folder that is not a run is a fault with a hint', async (t) => {
  const experiment = await experimentIn(t);
  await assert.rejects(openRun(experiment.source.directory), { code: 'runs/unreadable' });
});

test('a log is read on from where it was, and anew where it was cut back', async (t) => {
  const path = createRun(await experimentIn(t), 'log').path('events');
  const log = new EventLog(path);
  const stepsOf = (events: readonly RunEvent[]) => events.map((event) => event.type === 'step' && event.step);
  assert.deepEqual((await readEventsFrom(path, FROM_THE_START)).events, []);
  for (const number of [1, 2, 3]) log.append(step(number));
  const first = await readEventsFrom(path, FROM_THE_START);
  assert.deepEqual([stepsOf(first.events), first.isWhole], [[1, 2, 3], true]);
  log.append(step(4));
  const second = await readEventsFrom(path, first.place);
  assert.deepEqual([stepsOf(second.events), second.isWhole], [[4], false]);
  assert.deepEqual(second.place, (await readEventsFrom(path, FROM_THE_START)).place);
  log.truncateAfterStep(2);
  for (const number of [3, 5, 6]) log.append(step(number));
  const third = await readEventsFrom(path, second.place);
  assert.deepEqual([stepsOf(third.events), third.isWhole], [[1, 2, 3, 5, 6], true]);
  log.close();
  appendFileSync(path, '{"type":"st');
  assert.deepEqual((await readEventsFrom(path, third.place)).events, [], 'a line that is being written');
});
