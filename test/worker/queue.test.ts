import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import manifest from '../../package.json' with { type: 'json' };
import { WorkerClient, type WorkerLaunch } from '../../src/extension/jobs/client.ts';
import { JobQueue } from '../../src/extension/jobs/queue.ts';
import type { Job } from '../../src/extension/services.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { listRuns, openRun, type RunRecord } from '../../src/runs/index.ts';
import { HANDSHAKE, NO_OVERRIDES, scriptedLaunch, workerLaunch } from './launch.ts';
import { makeWorkspace, readJson } from './workspace.ts';

interface Rig {
  readonly queue: JobQueue;
  /** `job-1 waiting`, `job-1 running` … as they came. */
  readonly states: string[];
  readonly events: RunEvent[];
  worker(): WorkerClient;
  /** Calls back at the first event that fits. */
  on(fits: (event: RunEvent) => boolean, then: () => void): void;
}

function makeRig(t: { after(fn: () => void): void }, launch: Partial<WorkerLaunch> = {}): Rig {
  let client: WorkerClient | null = null;
  const states: string[] = [];
  const events: RunEvent[] = [];
  let watch: ((event: RunEvent) => void) | null = null;
  const queue = new JobQueue({
    async connect() {
      if (!client?.alive) client = await WorkerClient.start(workerLaunch(launch));
      return client;
    },
    overrides: () => NO_OVERRIDES,
    ending: async () => {},
    changed: (job) => {
      // A job also changes when its run folder becomes known.
      if (!states.includes(`${job.id} ${job.state}`)) states.push(`${job.id} ${job.state}`);
    },
    happened: (_job, event) => {
      events.push(event);
      watch?.(event);
    },
  });
  t.after(() => client?.kill());
  return {
    queue,
    states,
    events,
    worker: () => client!,
    on(fits, then) {
      watch = (event) => {
        if (!fits(event)) return;
        watch = null;
        then();
      };
    },
  };
}

const isStep = (event: RunEvent) => event.type === 'step';
const recordOf = (job: Job) => readJson(job.runDir!, 'run.json') as unknown as RunRecord;
const stepsIn = async (dir: string) =>
  (await (await openRun(dir)).readEvents()).flatMap((event) => (event.type === 'step' ? [event.step] : []));

test('two jobs in sequence: learn, then measure into the same run; and without rotations into another', async (t) => {
  const { experiment } = makeWorkspace(t);
  const { queue, states, events } = makeRig(t);
  const ended = [
    queue.submit({ kind: 'optimize', experiment }),
    queue.submit({ kind: 'evaluate', experiment }),
    queue.submit({ kind: 'evaluate', experiment, withoutRotations: true }),
  ] as const;
  assert.deepEqual(
    queue.unfinished.map(({ request, atWork }) => [request.kind, atWork]),
    [
      ['optimize', true],
      ['evaluate', false],
      ['evaluate', false],
    ],
  );
  const [learned, measured, plain] = await Promise.all(ended);
  assert.deepEqual(queue.unfinished, []);
  assert.deepEqual(states, [
    'job-1 waiting',
    'job-1 running',
    'job-2 waiting',
    'job-3 waiting',
    'job-1 finished',
    'job-2 running',
    'job-2 finished',
    'job-3 running',
    'job-3 finished',
  ]);
  assert.deepEqual(await stepsIn(learned.runDir!), [1, 2, 3]);
  assert.equal(measured.runDir, learned.runDir);
  assert.notEqual(plain.runDir, learned.runDir);
  const first = await (await openRun(learned.runDir!)).readResults();
  const evaluations = events.filter((event) => event.type === 'evaluation' && event.variant === 'quantized');
  assert.equal(evaluations.length, 3);
  // The second measurement repeats the first to the bit.
  assert.deepEqual(
    evaluations.slice(0, 2).map((event) => event.type === 'evaluation' && event.perplexity),
    [first.perplexity[0]!.quantized, first.perplexity[0]!.quantized],
  );
  const baseline = await openRun(plain.runDir!);
  assert.equal(baseline.record.status, 'finished');
  assert.equal((await baseline.readExperiment()).rotation.r1, 'none');
  const measuredPlain = await baseline.readResults();
  assert.ok(measuredPlain.perplexity[0]!.quantized! > 1);
  // Its numbers come from the same model on the same machine as those of the run that learned.
  assert.deepEqual(recordOf(plain).provenance, recordOf(learned).provenance);
  assert.match(recordOf(plain).provenance?.model.sha256 ?? '', /^[0-9a-f]{64}$/);
  assert.ok(measuredPlain.measuredAt! >= baseline.record.startedAt);
  assert.ok(first.measuredAt! >= recordOf(learned).finishedAt!, 'measured again after the run had ended');
});

test('an experiment that changed is measured into a run of its own, with the rotations it used', async (t) => {
  const { experiment, variant } = makeWorkspace(t);
  const { queue } = makeRig(t);
  const learned = await queue.submit({ kind: 'optimize', experiment });
  variant('tiny', { quantization: { activations: { bits: 8 } } });
  const again = await queue.submit({ kind: 'evaluate', experiment, runDir: learned.runDir! });
  assert.equal(again.state, 'finished', again.message ?? '');
  assert.notEqual(again.runDir, learned.runDir);
  assert.equal(recordOf(again).bits, 'W4A8KV4');
  assert.ok(existsSync(join(again.runDir!, 'rotations.safetensors')));
  const inspected = await queue.submit({ kind: 'inspect', experiment, runDir: learned.runDir! });
  assert.equal(inspected.state, 'finished', inspected.message ?? '');
  assert.ok((await (await openRun(inspected.runDir!)).readActivations()).sites.length > 0);
  assert.notEqual(inspected.runDir, again.runDir);
  for (const job of [again, inspected])
    assert.equal(recordOf(job).provenance?.productVersion, manifest.version);
});

test('the loss of a run is attributed, and kept beside its rotations', async (t) => {
  const { experiment } = makeWorkspace(t);
  const { queue, events } = makeRig(t);
  const learned = await queue.submit({ kind: 'optimize', experiment });
  const attribution = { exact: false, curve: false, ownSettings: true };
  const found = await queue.submit({
    kind: 'attribute',
    experiment,
    runDir: learned.runDir!,
    attribution,
  });
  assert.equal(found.state, 'finished', found.message ?? '');
  assert.equal(found.runDir, learned.runDir);
  const { cells, loss } = await (await openRun(found.runDir!)).readAttribution();
  assert.ok(cells.length > 0 && loss.quantized !== loss.fullPrecision);
  assert.ok(events.some((event) => event.type === 'phase' && event.phase === 'statistics'));
  const started = await queue.submit({ kind: 'attribute', experiment });
  assert.equal(started.state, 'finished', started.message ?? '');
  assert.notEqual(
    started.runDir,
    learned.runDir,
    'the rotations that learning starts from have a run of their own',
  );
});

test('kill -9 in mid-run: interrupted with a message, the next job gets a new worker, and the run resumes', async (t) => {
  const { experiment } = makeWorkspace(t, { steps: 12 });
  const rig = makeRig(t);
  rig.on(
    (event) => event.type === 'checkpoint' && event.step >= 2,
    () => process.kill(rig.worker().pid!, 'SIGKILL'),
  );
  const killed = await rig.queue.submit({ kind: 'optimize', experiment });
  assert.equal(killed.state, 'interrupted');
  assert.match(killed.message ?? '', /ended by SIGKILL/);
  assert.equal(recordOf(killed).status, 'interrupted');
  assert.equal(rig.queue.running, null);
  const resumed = await rig.queue.submit({ kind: 'optimize', experiment, runDir: killed.runDir! });
  assert.equal(resumed.state, 'finished', resumed.message ?? '');
  assert.equal(resumed.runDir, killed.runDir);
  assert.deepEqual(
    await stepsIn(killed.runDir!),
    Array.from({ length: 12 }, (_, i) => i + 1),
  );
  const whole = await rig.queue.submit({ kind: 'optimize', experiment });
  const perplexity = async (job: Job) => (await (await openRun(job.runDir!)).readResults()).perplexity;
  assert.deepEqual(await perplexity(resumed), await perplexity(whole), 'resumed to the same bits');
});

test('cancel: a waiting job goes at once, a running one ends in order and keeps its worker', async (t) => {
  const { experiment } = makeWorkspace(t, { steps: 500 });
  const rig = makeRig(t);
  rig.on(isStep, () => {
    void rig.queue.cancel('job-2').then(() => rig.queue.cancel('job-1'));
  });
  const [running, waiting] = await Promise.all([
    rig.queue.submit({ kind: 'optimize', experiment }),
    rig.queue.submit({ kind: 'optimize', experiment }),
  ]);
  assert.equal(running.state, 'cancelled');
  assert.equal(waiting.state, 'cancelled');
  assert.equal(recordOf(running).status, 'cancelled');
  assert.equal(rig.worker().alive, true);
  const { runs } = await listRuns(join(running.runDir!, '..'));
  assert.equal(runs.length, 1, 'the waiting job made no folder');
});

test('pause ends after a whole step, whose checkpoint is there', async (t) => {
  const { experiment } = makeWorkspace(t, { steps: 500 });
  const rig = makeRig(t);
  rig.on(isStep, () => void rig.queue.pause('job-1'));
  const paused = await rig.queue.submit({ kind: 'optimize', experiment });
  assert.equal(paused.state, 'paused');
  assert.equal(paused.message, 'Paused.');
  assert.equal(recordOf(paused).status, 'paused');
  const steps = await stepsIn(paused.runDir!);
  assert.ok(steps.length >= 1 && steps.length < 500);
  const { checkpointStep } = await import('../../src/engine/plan/learning-checkpoint.ts');
  assert.equal(checkpointStep(join(paused.runDir!, 'checkpoint')), steps.at(-1));
});

test('after a pause nothing begins; what is resumed comes before those that wait', async (t) => {
  const { experiment, variant } = makeWorkspace(t, { steps: 12 });
  const other = variant('other', {});
  const rig = makeRig(t);
  rig.on(isStep, () => void rig.queue.pause('job-1'));
  const ended = rig.queue.submit({ kind: 'optimize', experiment });
  const waiting = rig.queue.submit({ kind: 'evaluate', experiment: other, withoutRotations: true });
  const paused = await ended;
  assert.equal(rig.queue.held, paused);
  // Longer than the next one would take to begin.
  await sleep(200);
  assert.equal(rig.queue.running, null);
  assert.deepEqual(
    rig.queue.unfinished.map(({ atWork }) => atWork),
    [false],
  );
  const resumed = rig.queue.submit({ kind: 'optimize', experiment, runDir: paused.runDir! });
  assert.equal(rig.queue.held, null);
  assert.equal(rig.queue.all.find(({ state }) => state === 'running')?.id, 'job-3');
  assert.equal((await resumed).state, 'finished');
  assert.equal((await waiting).state, 'finished');
  assert.deepEqual(rig.states.slice(-3), ['job-3 finished', 'job-2 running', 'job-2 finished']);
});

test('after a pause those that wait can begin without it', async (t) => {
  const { experiment } = makeWorkspace(t, { steps: 500 });
  const rig = makeRig(t);
  rig.on(isStep, () => void rig.queue.pause('job-1'));
  const ended = rig.queue.submit({ kind: 'optimize', experiment });
  const waiting = rig.queue.submit({ kind: 'evaluate', experiment, withoutRotations: true });
  assert.equal((await ended).state, 'paused');
  rig.queue.proceed();
  assert.equal((await waiting).state, 'finished');
});

test('what is asked for twice is done once; another file, or one that was edited, is another job', async (t) => {
  const { experiment } = makeWorkspace(t);
  const { queue } = makeRig(t);
  const ask = (contents: string) => queue.submit({ kind: 'optimize', experiment, contents });
  const [first, second, edited, again] = [ask('a'), ask('a'), ask('b'), ask('c')];
  assert.equal(await first, await second);
  assert.equal(await edited, await again, 'one that waits reads the file when it begins');
  assert.deepEqual(
    queue.all.map(({ id, state }) => `${id} ${state}`),
    ['job-1 finished', 'job-2 finished'],
  );
  assert.notEqual(await ask('a'), await first, 'what has ended can be done again');
});

/** Text that is asked to stop ends 300 ms later, or never; a job's run is named after what there was of it. */
const writing = (stops: boolean) => `${HANDSHAKE}
  let text = null;
  const onRequest = ({ method, id }) => {
    if (method === 'compare') text = id;
    else if (method === '$/cancelRequest' && ${stops}) setTimeout(() => { reply(text, null); text = null; }, 300);
    else if (method === 'evaluate') reply(id, { run: text === null ? 'alone' : 'beside text' });
  };`;

for (const stops of [true, false])
  test(`a job begins after text that ${stops ? 'stops late' : 'does not stop, in another worker'}`, async (t) => {
    const started: WorkerClient[] = [];
    const connect = async () => {
      const last = started.at(-1);
      if (last?.alive) return last;
      const client = await WorkerClient.start(scriptedLaunch(writing(stops), { graceMs: 600 }));
      t.after(() => client.kill());
      started.push(client);
      return client;
    };
    const text = new AbortController();
    const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 };
    const params = { job: 'text', runs: [], prompt: 'Once', tokens: 9, stop: '', chat: false, device: null };
    const written = (await connect()).compare({ ...params, ...sampling }, () => {}, text.signal);
    const outcome = written.then(
      () => 'stopped',
      (error: Error) => error.name,
    );
    const queue = new JobQueue({
      connect,
      overrides: () => NO_OVERRIDES,
      ending: async () => {},
      changed: ({ state }) => state === 'running' && text.abort(),
      happened: () => {},
    });
    const job = await queue.submit({ kind: 'evaluate', experiment: '/x.spinquant.json' });
    assert.deepEqual([job.state, job.runDir], ['finished', 'alone'], job.message ?? '');
    assert.equal(await outcome, stops ? 'stopped' : 'WorkerEnded');
    assert.equal(started.length, stops ? 1 : 2);
  });

test('a window that closes interrupts its run, which says so and resumes', async (t) => {
  const { experiment } = makeWorkspace(t, { steps: 30 });
  const rig = makeRig(t);
  rig.on(isStep, () => void rig.worker().stop());
  const left = await rig.queue.submit({ kind: 'optimize', experiment });
  const { status, error } = recordOf(left);
  assert.equal(status, 'interrupted');
  assert.equal(error?.message, 'Interrupted by closing the window.');
  const resumed = await rig.queue.submit({ kind: 'optimize', experiment, runDir: left.runDir! });
  assert.equal(resumed.state, 'finished', resumed.message ?? '');
  assert.equal(recordOf(resumed).error, null);
});

test('a fault of the experiment is its message, and the queue goes on', async (t) => {
  const { variant, experiment, folder } = makeWorkspace(t);
  const { queue } = makeRig(t);
  const wrong = variant('wrong', { model: 'nowhere', rotaton: {} });
  const [failed, fine] = await Promise.all([
    queue.submit({ kind: 'optimize', experiment: wrong }),
    queue.submit({ kind: 'evaluate', experiment, withoutRotations: true }),
  ]);
  assert.equal(failed.state, 'failed');
  assert.match(failed.message ?? '', /Did you mean "rotation"/);
  assert.equal(failed.runDir, null);
  assert.equal(fine.state, 'finished', fine.message ?? '');
  const unlearned = await queue.submit({ kind: 'evaluate', experiment });
  assert.match(unlearned.message ?? '', /no learned rotation yet/);
  assert.deepEqual(readdirSync(join(folder, '.spinquant', 'runs')).length, 1);
});
