/** What a stopped run goes on from, and what it does not go on from, on a tiny model. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  existsSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { resolveExperiment } from '../../src/config/index.ts';
import { optimizeRotation, runToResume } from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { openRun } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
rmSync(join(folder, 'runs'), { recursive: true });
const COMPOSED = { kernels: 'composed' } as const;
const experiment = await resolveExperiment(join(folder, 'learned.spinquant.json'), 'optimize');
const whole = await collect(optimizeRotation(experiment, COMPOSED));

/** A run that its consumer left after three steps; `act` may do something at the second. */
async function stopped(act: (dir: string) => Promise<void> | void = () => {}): Promise<string> {
  let dir = '';
  for await (const event of optimizeRotation(experiment, COMPOSED)) {
    if (event.type === 'run-started') dir = event.run!;
    if (event.type !== 'step') continue;
    if (event.step === 2) await act(dir);
    if (event.step === 3) break;
  }
  return dir;
}

const model = await stopped();
let copies = 0;
/** A copy of the stopped run, or of another. */
function copy(of = model): string {
  const dir = join(experiment.runs, `copy-${copies++}`);
  cpSync(of, dir, { recursive: true });
  return dir;
}

const resume = (dir: string) => collect(optimizeRotation(experiment, { ...COMPOSED, resumeFrom: dir }));
const rotations = (dir: string) => readFileSync(join(dir, 'rotations.safetensors'));
const steps = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'step' ? [event.step] : []));
const status = (dir: string) =>
  (JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as { status: string }).status;

test('without its events a run ends with the same losses and bits', async () => {
  const dir = copy();
  rmSync(join(dir, 'events.jsonl'));
  const { result, events } = await resume(dir);
  assert.deepEqual(steps(events), [4, 5, 6]);
  assert.deepEqual(result.loss, whole.result.loss);
  assert.deepEqual(rotations(dir), rotations(whole.result.run));
});

test('a calibration text that has changed is refused by its name; restored, the run goes on', async () => {
  const dir = copy();
  const path = join(folder, 'calibration.txt');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.split('').reverse().join(''));
  await assert.rejects(resume(dir), { code: 'runs/inputs-changed', message: /step 3.*calibration\.txt/ });
  assert.equal(status(dir), 'failed');
  writeFileSync(path, text);
  const { result } = await resume(dir);
  assert.deepEqual(result.loss, whole.result.loss);
  assert.deepEqual(rotations(dir), rotations(whole.result.run));
});

test('a run whose checkpoint cannot be read stays as it was', async () => {
  const dir = copy();
  truncateSync(join(dir, 'checkpoint', 'state.safetensors'), 100);
  const before = readFileSync(join(dir, 'run.json'), 'utf8');
  const events = readFileSync(join(dir, 'events.jsonl'), 'utf8');
  await assert.rejects(resume(dir), { code: 'runs/damaged' });
  assert.equal(readFileSync(join(dir, 'run.json'), 'utf8'), before);
  assert.equal(readFileSync(join(dir, 'events.jsonl'), 'utf8'), events);
  rmSync(dir, { recursive: true });
});

test('rotations that are cut off are made again, from the checkpoint', async () => {
  const dir = copy(whole.result.run);
  const record = JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as object;
  writeFileSync(join(dir, 'run.json'), JSON.stringify({ ...record, status: 'interrupted' }));
  truncateSync(join(dir, 'rotations.safetensors'), 200);
  const { result } = await resume(dir);
  assert.deepEqual(result.loss, whole.result.loss);
  assert.deepEqual(rotations(dir), rotations(whole.result.run));
  assert.deepEqual(steps(await (await openRun(dir)).readEvents()), [1, 2, 3, 4, 5, 6]);
});

test('a torn line in the events is told of, and the run goes on to the same end', async () => {
  const dir = copy();
  const path = join(dir, 'events.jsonl');
  const lines = readFileSync(path, 'utf8').split('\n');
  const at = lines.findIndex((line) => line.includes('"type":"step"'));
  lines[at] = lines[at]!.slice(0, 40);
  writeFileSync(path, lines.join('\n'));
  const { result } = await resume(dir);
  assert.deepEqual(result.loss, whole.result.loss, 'the checkpoint knows the first loss');
  const said = (await (await openRun(dir)).readEvents()).filter(({ type }) => type === 'warning');
  assert.equal(said.length, 1);
});

test('the newest that fits is found beside one that cannot be read', async () => {
  const [sound, bad] = [copy(), copy()];
  const began = (dir: string, startedAt: string) => {
    const record = JSON.parse(readFileSync(join(dir, 'run.json'), 'utf8')) as object;
    writeFileSync(join(dir, 'run.json'), JSON.stringify({ ...record, startedAt }));
  };
  began(sound, '2098-01-01T00:00:00.000Z');
  began(bad, '2099-01-01T00:00:00.000Z');
  appendFileSync(join(bad, 'experiment.json'), '}');
  assert.equal((await runToResume(experiment, null)).dir, sound);
  await assert.rejects(runToResume(experiment, bad), { code: 'runs/damaged' });
  for (const dir of [sound, bad]) rmSync(dir, { recursive: true });
});

test('a run that is taken over in the middle stops, and the taker ends it', async () => {
  let taken: string | null = null;
  let dir = '';
  const job = stopped(async (at) => {
    dir = at;
    const taker = await openRun(at);
    taken = await taker.claim(true);
    taker.resume();
    taker.finish('cancelled');
  });
  await assert.rejects(job, { code: 'runs/taken-over' });
  assert.match(taken ?? '', /^process \d+ on /);
  assert.equal(status(dir), 'cancelled', 'the record is the taker’s');
  await resume(dir);
  assert.deepEqual(rotations(dir), rotations(whole.result.run));
});

test('a run folder that is deleted in the middle ends the run as a fault, and does not come back', async () => {
  let dir = '';
  const job = stopped((at) => {
    dir = at;
    rmSync(at, { recursive: true });
  });
  await assert.rejects(job, { code: 'runs/folder-gone' });
  assert.equal(existsSync(dir), false);
});
