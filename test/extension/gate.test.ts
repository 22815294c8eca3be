/** The gate, with a queue whose worker answers as a test wants. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { WorkerClient } from '../../src/extension/jobs/client.ts';
import { JobQueue } from '../../src/extension/jobs/queue.ts';
import type { Parts } from '../../src/extension/parts.ts';
import { loadWithEditor, StubController, type StubEditor } from './stub-editor.ts';

type Gate = typeof import('../../src/extension/gate/tests.ts');

interface Rig {
  readonly file: (name: string) => string;
  readonly editor: StubEditor;
  readonly parts: Parts;
  readonly queue: JobQueue;
  /** What reached the worker: the experiment as it was on the disk by then. */
  readonly computed: string[];
  /** How the next jobs end. */
  answer: (signal: AbortSignal) => Promise<{ readonly run: string }>;
}

/** Sound, as far as the schema and the disk tell. */
const experiment = (text: string) =>
  JSON.stringify({
    model: '.',
    quantization: { keys: { offset: 'none' } },
    rotation: { r1: 'hadamard', r2: 'hadamard' },
    evaluation: { perplexity: [{ name: text, text: 'text.txt' }] },
  });

/** @param names of experiments, and of the text that each is evaluated on. */
function makeRig(t: TestContext, ...names: readonly string[]): Rig {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-gate-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string) => join(folder, `${name}.spinquant.json`);
  for (const name of ['text.txt', 'config.json']) writeFileSync(join(folder, name), '{}');
  for (const name of names) writeFileSync(file(name), experiment(name));
  const computed: string[] = [];
  const client = {
    alive: true,
    stopped: async () => {},
    follow: (_method: string, params: { experiment: string }, _tell: unknown, signal: AbortSignal) => {
      computed.push(readFileSync(params.experiment, 'utf8'));
      return rig.answer(signal);
    },
    // All that the queue asks of it.
  } as unknown as WorkerClient;
  const queue = new JobQueue({
    connect: async () => client,
    overrides: () => ({ device: null, threads: null, runs: null }),
    ending: async () => {},
    changed: () => {},
    happened: () => {},
  });
  const jobs = {
    get all() {
      return queue.all;
    },
    submit: queue.submit.bind(queue),
    cancel: queue.cancel.bind(queue),
    progress: () => ({}),
  };
  const experiments = { all: names.map(file), onDidChange: () => {}, refresh: async () => {} };
  // What the gate and the tools see of the parts.
  const parts = { jobs, experiments, runs: { ofExperiment: () => [] }, log: console } as unknown as Parts;
  const editor = { documents: [], controller: new StubController(), setting: () => undefined };
  const answer = async () => ({ run: join(folder, 'no-run') });
  const rig: Rig = { file, editor, parts, queue, computed, answer };
  return rig;
}

/** As VS Code gives it to a run of tests. */
function tokenSource() {
  const listeners = new Set<() => void>();
  const token = {
    isCancellationRequested: false,
    onCancellationRequested: (listener: () => void) => {
      listeners.add(listener);
      return { dispose: () => listeners.delete(listener) };
    },
  };
  const cancel = () => {
    token.isCancellationRequested = true;
    for (const listener of listeners) listener();
  };
  return { token, cancel };
}

async function startGate({ editor, parts }: Rig): Promise<(token?: object) => Promise<string[]>> {
  const { registerGate } = await loadWithEditor<Gate>('gate/tests.ts', editor);
  registerGate(parts);
  const { controller } = editor;
  await controller.refreshHandler();
  return async (token = tokenSource().token) => {
    await controller.runHandler({ include: undefined, exclude: undefined }, token);
    return controller.told.splice(0);
  };
}

test('a run of the gate ends, and says why, whatever is missing', async (t) => {
  const rig = makeRig(t, 'gone', 'emptied');
  const run = await startGate(rig);
  rmSync(rig.file('gone'));
  const told = await run();
  assert.equal(told.length, 3, told.join('\n'));
  assert.match(told[0]!, /^errored gone: .*no such file/);
  assert.match(told[1]!, /^errored emptied: .*no-run/);
  assert.equal(told[2], 'end');
});
