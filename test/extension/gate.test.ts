/** The gate and the tool that starts jobs, with a queue whose worker answers as a test wants. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { WorkerClient } from '../../src/extension/jobs/client.ts';
import { JobQueue } from '../../src/extension/jobs/queue.ts';
import type { Parts } from '../../src/extension/parts.ts';
import { loadWithEditor, StubController, StubDocument, type StubEditor } from './stub-editor.ts';

type Gate = typeof import('../../src/extension/gate/tests.ts');
type Chat = typeof import('../../src/extension/chat/tools.ts');

interface Rig {
  readonly file: (name: string) => string;
  readonly editor: StubEditor;
  readonly parts: Parts;
  readonly queue: JobQueue;
  /** The increase that the gate allows, by the path that it is asked for. */
  readonly limits: Map<string | null, number>;
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
    openJob: queue.openJob.bind(queue),
    cancel: queue.cancel.bind(queue),
    progress: () => ({}),
  };
  const experiments = { all: names.map(file), onDidChange: () => {}, refresh: async () => {} };
  // What the gate and the tools see of the parts.
  const parts = { jobs, experiments, runs: { ofExperiment: () => [] }, log: console } as unknown as Parts;
  const limits = new Map<string | null, number>();
  const setting = (key: string, path: string | null) =>
    key === 'spinquant.gate.maxRelativeIncrease' ? limits.get(path) : undefined;
  const editor = { folders: [], documents: [], controller: new StubController(), setting };
  const answer = async () => ({ run: join(folder, 'no-run') });
  const rig: Rig = { file, editor, parts, queue, limits, computed, answer };
  return rig;
}

/** Runs until it is stopped, and not at all where it was stopped before. */
const endless = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const stop = () => reject(new Error('stopped'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });

/** As VS Code gives it to a run of tests. */
function tokenSource() {
  const token = {
    isCancellationRequested: false,
    onCancellationRequested: (listener: () => void) => {
      heard.then(listener);
      listen();
      return { dispose() {} };
    },
  };
  let [listen, hear] = [() => {}, () => {}];
  const listening = new Promise<void>((resolve) => {
    listen = resolve;
  });
  const heard = new Promise<void>((resolve) => {
    hear = resolve;
  });
  const cancel = () => {
    token.isCancellationRequested = true;
    hear();
  };
  /** `listening` resolves when somebody waits for the end. */
  return { token, cancel, listening };
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

async function startTool({
  editor,
  parts,
}: Rig): Promise<(name: string) => Promise<Record<string, unknown>>> {
  const { languageModelTools } = await loadWithEditor<Chat>('chat/tools.ts', editor);
  const { start } = languageModelTools(parts, {} as Parameters<Chat['languageModelTools']>[1]);
  return async (experiment) => {
    const input = { experiment, action: 'evaluate' } as const;
    const { token } = tokenSource();
    // The tool looks at no token.
    const result = await start.invoke({ input, toolInvocationToken: undefined }, token as never);
    const [part] = result!.content as { value: string }[];
    return JSON.parse(part!.value) as Record<string, unknown>;
  };
}

function openFile({ editor, file }: Rig, name: string): StubDocument {
  const document = new StubDocument(file(name));
  editor.documents.push(document);
  return document;
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

test('the gate measures what is written in the editor', async (t) => {
  const rig = makeRig(t, 'short');
  const document = openFile(rig, 'short');
  const run = await startGate(rig);
  document.type(experiment('long'));
  await run();
  assert.deepEqual(rig.computed, [experiment('long')]);
  document.type('{}');
  assert.match((await run())[0]!, /^errored short: The experiment has faults/);
  document.savable = false;
  document.type(experiment('short'));
  assert.match((await run())[0]!, /^errored short: .*could not be saved/);
  assert.equal(rig.computed.length, 1);
});

test('the gate allows what the folder of the experiment allows', async (t) => {
  const rig = makeRig(t, 'stories');
  const file = rig.file('stories');
  const dir = join(file, '..', 'measured');
  const kept = join(import.meta.dirname, '../fixtures/old-runs/runs/20261128T151219Z-gptq');
  cpSync(kept, dir, { recursive: true });
  const results = join(dir, 'results.json');
  const measured = JSON.parse(readFileSync(results, 'utf8')) as { perplexity: object[] };
  Object.assign(measured.perplexity[0]!, { fullPrecision: 100, quantized: 150 });
  writeFileSync(results, JSON.stringify(measured));
  rig.answer = async () => ({ run: dir });
  const run = await startGate(rig);
  assert.match((await run())[0]!, /^failed stories: .*50\.0 % more, 10\.0 % allowed/);
  rig.limits.set(file, 0.6);
  assert.deepEqual(await run(), ['passed stories', 'end']);
});

test('the gate waits for a job that does the same, and leaves it alone when the run of tests is stopped', async (t) => {
  const rig = makeRig(t, 'same');
  rig.answer = endless;
  const [run, tool] = [await startGate(rig), await startTool(rig)];
  const { job } = await tool(rig.file('same'));
  const elsewhere = tokenSource();
  const waiting = run(elsewhere.token);
  await elsewhere.listening;
  elsewhere.cancel();
  assert.deepEqual(await waiting, ['end']);
  assert.deepEqual(
    rig.queue.all.map(({ id, state }) => [id, state]),
    [[job, 'running']],
  );
  await rig.queue.cancel(String(job));

  const own = tokenSource();
  const measured = run(own.token);
  await own.listening;
  own.cancel();
  assert.deepEqual(await measured, ['errored same: Cancelled.', 'end']);
  assert.equal(rig.queue.all[1]!.state, 'cancelled');
});

test('the tool starts what is written in the editor, and the same only once', async (t) => {
  const rig = makeRig(t, 'chat');
  rig.answer = endless;
  const document = openFile(rig, 'chat');
  const tool = await startTool(rig);
  document.type(experiment('edited'));
  const first = await tool(rig.file('chat'));
  const again = await tool(rig.file('chat'));
  assert.equal(first.state, 'running');
  assert.deepEqual(
    [again.job, again.note],
    [first.job, 'It was asked for already: nothing new was started.'],
  );
  assert.deepEqual(rig.computed, [experiment('edited')]);
  document.type(experiment('edited again'));
  const other = await tool(rig.file('chat'));
  assert.deepEqual([other.job === first.job, other.state, other.note], [false, 'waiting', undefined]);
  document.savable = false;
  document.type(experiment('chat'));
  assert.match(String((await tool(rig.file('chat'))).error), /could not be saved/);
  assert.equal(rig.queue.all.length, 2);
  for (const { id } of [...rig.queue.all].reverse()) await rig.queue.cancel(id);
});
