import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { experimentOfText, resolvedCells } from '../../src/config/index.ts';
import { nameOfKey } from '../../src/engine/plan/key-names.ts';
import { WorkerClient } from '../../src/extension/jobs/client.ts';
import { WorkerEnded } from '../../src/extension/jobs/worker-ended.ts';
import { LOST_FILE } from '../../src/protocol/exit-codes.ts';
import { WORKER_PROTOCOL } from '../../src/protocol/worker.ts';
import { HANDSHAKE, scriptedLaunch, startWorker, workerLaunch } from './launch.ts';
import { makeWorkspace } from './workspace.ts';

test('the handshake says what the worker computes with, and loads no ONNX Runtime', async (t) => {
  const client = await startWorker(t);
  const { handshake } = client;
  assert.equal(handshake.protocol, WORKER_PROTOCOL);
  assert.equal(handshake.pid, client.pid);
  assert.match(handshake.ort ?? '', /^1\.\d+\.\d+/);
  assert.match(handshake.kernels, /^(native \w+|composed)$/);
  assert.equal(handshake.problem, null);
  if (process.platform === 'linux') {
    assert.doesNotMatch(readFileSync(`/proc/${client.pid}/maps`, 'utf8'), /libonnxruntime/);
  }
  await client.shutdown();
  assert.equal(client.alive, false);
});

test('a worker of another protocol is refused with what to do', async () => {
  const code = `process.on('message', ({ id }) => process.send({ jsonrpc: '2.0', id, result: { protocol: 99, product: '9.9.9' } }));`;
  await assert.rejects(WorkerClient.start(scriptedLaunch(code)), {
    code: 'worker/protocol',
    message: /speaks protocol 99 \(product 9\.9\.9\)/,
    hint: /reload the window/,
  });
});

test('a worker that cannot start rejects with the reason', async () => {
  await assert.rejects(WorkerClient.start({ command: '/no/such/node', args: [] }), (error: Error) => {
    assert.ok(error instanceof WorkerEnded);
    assert.match(error.message, /ENOENT/);
    return true;
  });
});

test('exit rejects every open request with code and last lines of stderr', async (t) => {
  const code = `${HANDSHAKE}
    let waiting = 0;
    const onRequest = () => { if (++waiting === 2) { console.error('out of\\nmemory'); process.exitCode = 7; process.disconnect(); } };`;
  const client = await WorkerClient.start(scriptedLaunch(code));
  t.after(() => client.kill());
  const check = { text: '{}', file: '/x.spinquant.json' };
  const outcomes = await Promise.allSettled([client.request('check', check), client.request('check', check)]);
  for (const outcome of outcomes) {
    assert.equal(outcome.status, 'rejected');
    const { reason } = outcome as PromiseRejectedResult;
    assert.ok(reason instanceof WorkerEnded);
    assert.equal(reason.exitCode, 7);
    assert.deepEqual(reason.lastLines.slice(-2), ['out of', 'memory']);
  }
  assert.equal(client.alive, false);
  await assert.rejects(client.request('check', check), WorkerEnded);
});

test('a worker whose file was lost ends with its words, which name the file', async (t) => {
  const words =
    '/models/a.safetensors was truncated, or its disk failed, while it was read. Restore the file.';
  const code = `${HANDSHAKE}
    const onRequest = () => { console.error('other\\n${LOST_FILE.lineStart}${words}'); process.exit(${LOST_FILE.exitCode}); };`;
  const client = await WorkerClient.start(scriptedLaunch(code));
  t.after(() => client.kill());
  await assert.rejects(client.request('check', { text: '{}', file: '/x.spinquant.json' }), {
    name: 'WorkerEnded',
    message: words,
  });
  assert.match(
    new WorkerEnded(LOST_FILE.exitCode, null, ['torn']).message,
    /^A file was truncated.*Restore it/,
  );
});

test('what the worker prints cannot be taken for a message', async (t) => {
  const code = `${HANDSHAKE}
    process.stdout.write('Content-Length: 5\\r\\n\\r\\n{"jsonrpc":"2.0"}\\u0000\\u0001\\n{"id":1}\\n');
    const onRequest = ({ id }) => { console.log('noise'); reply(id, { faults: [], model: null }); };`;
  const lines: string[] = [];
  const client = await WorkerClient.start(
    scriptedLaunch(code, { graceMs: 200, log: (line) => lines.push(line) }),
  );
  t.after(() => client.kill());
  const answer = await client.request('check', { text: '', file: '/x.spinquant.json' });
  assert.deepEqual(answer, { faults: [], model: null });
  await client.shutdown().catch(() => {});
  assert.ok(lines.includes('noise') && lines.includes('{"id":1}'));
});

test('a worker that does not listen is killed after the grace period', async (t) => {
  const code = `${HANDSHAKE} const onRequest = () => { for (;;); };`;
  const client = await WorkerClient.start(scriptedLaunch(code, { graceMs: 300 }));
  t.after(() => client.kill());
  const controller = new AbortController();
  const began = Date.now();
  setTimeout(() => controller.abort(), 100);
  await assert.rejects(
    client.request('check', { text: '', file: '/x' }, { signal: controller.signal }),
    (error: Error) => error instanceof WorkerEnded && error.signal === 'SIGKILL',
  );
  const took = Date.now() - began;
  assert.ok(took >= 400 && took < 5000, `${took} ms`);
});

/** `download` is answered on its own after so long, whatever is asked; `importModel` only once a question came. */
const SHARED = `${HANDSHAKE}
  let job = null;
  const onRequest = ({ method, id }) => {
    if (method === 'download') setTimeout(() => reply(id, { files: [] }), 900);
    else if (method === 'importModel') job = id;
    else if (method === 'check') { reply(id, { faults: [], model: null }); reply(job, {}); }
  };`;

test('one that does not stop is waited for while another works, and is killed once it is alone', async (t) => {
  const client = await WorkerClient.start(scriptedLaunch(SHARED, { graceMs: 100 }));
  t.after(() => client.kill());
  const controller = new AbortController();
  const { signal: never } = new AbortController();
  const dragging = client.follow('download', { job: 'a', name: 'x' }, () => {}, controller.signal);
  const params = { job: 'b', source: 'x', tokenizer: null, out: 'y' };
  const working = client.follow('importModel', params, () => {}, never);
  working.catch(() => {});
  controller.abort();
  await client.stopped();
  assert.deepEqual(await dragging, { files: [] }, 'answered in its own time, not killed with the process');
  const asked = { text: '', file: '/x.spinquant.json' };
  await client.request('check', asked);
  assert.deepEqual(await working, {});

  const alone = new AbortController();
  const left = client.follow('importModel', params, () => {}, alone.signal);
  const other = client.follow('download', { job: 'a', name: 'x' }, () => {}, never);
  alone.abort();
  await other;
  await assert.rejects(left, (error: Error) => error instanceof WorkerEnded && error.signal === 'SIGKILL');
});

test('a question keeps no worker alive that nothing else uses', async (t) => {
  const code = `${HANDSHAKE} const onRequest = () => {};`;
  const client = await WorkerClient.start(scriptedLaunch(code, { graceMs: 100 }));
  t.after(() => client.kill());
  const controller = new AbortController();
  const job = client.follow('download', { job: 'a', name: 'x' }, () => {}, controller.signal);
  const question = client.request('check', { text: '', file: '/x.spinquant.json' });
  controller.abort();
  for (const { reason } of (await Promise.allSettled([job, question])) as PromiseRejectedResult[])
    assert.ok(reason instanceof WorkerEnded);
});

test('an experiment is checked against its model', async (t) => {
  const client = await startWorker(t);
  const { variant, folder } = makeWorkspace(t);
  const text = (settings: object) => JSON.stringify({ model: 'model', ...settings });
  const check = (settings: object) =>
    client.request('check', { text: text(settings), file: variant('x', {}) });
  const sound = await check({ calibration: { sequenceLength: 32 }, rotation: { r4: false } });
  assert.deepEqual(sound.faults, []);
  assert.deepEqual(sound.model, {
    architecture: 'llama',
    layers: 2,
    hiddenSize: 32,
    headDim: 8,
    intermediateSize: 48,
  });
  const long = await check({});
  assert.deepEqual(
    long.faults.map(({ code, path }) => [code, path.join('.')]),
    [['model/positions', 'calibration.sequenceLength']],
  );
  const group = await check({
    calibration: { sequenceLength: 32 },
    quantization: { weights: { groupSize: 5 } },
  });
  assert.deepEqual(
    group.faults.map(({ code, path, severity }) => [code, path.join('.'), severity]),
    [['quantization/group-size', 'quantization.weights.groupSize', 'error']],
  );
  const missing = await client.request('check', {
    text: '{ "model": "nowhere" }',
    file: `${folder}/x.spinquant.json`,
  });
  // That there is no model is a fault of the file alone, which needs no worker.
  assert.deepEqual(missing, { faults: [], model: null });
});

test('the reasons of cells that only the model rules out come by their keys', async (t) => {
  const client = await startWorker(t);
  const { variant } = makeWorkspace(t);
  const rows = [{ name: 'groups', settings: { quantization: { weights: { groupSize: 5 } } } }];
  const file = variant('table', { matrix: { bits: ['4-4-4'], methods: ['rtn', 'groups'], rows } });
  const text = readFileSync(file, 'utf8');
  const cells = resolvedCells(experimentOfText(text, file));
  const { key } = cells.find(({ method }) => method === 'groups')!;
  assert.deepEqual(await client.request('obstacles', { text, file }), {
    [key]: 'quantization.weights.groupSize is 5, which does not divide the width 32 of this model.',
  });
});

test('shared results that no run uses are listed with their sizes, and deleted when that is asked for', async (t) => {
  const client = await startWorker(t);
  const { folder } = makeWorkspace(t);
  const runs = join(folder, 'shared-runs');
  const left = join(runs, '.steps', nameOfKey('a'.repeat(64)));
  mkdirSync(left, { recursive: true });
  writeFileSync(join(left, 'part'), 'four');
  const found = { unused: [{ step: null, bytes: 4, isFresh: false }], unknown: [] };
  assert.deepEqual(await client.request('sweep', { runs, deletes: false }), found);
  assert.ok(existsSync(left));
  assert.deepEqual(await client.request('sweep', { runs, deletes: true }), found);
  assert.ok(!existsSync(left));
});

test('faults against the model are found beside all others, each at its place', async (t) => {
  const client = await startWorker(t);
  const { variant, folder } = makeWorkspace(t);
  const file = variant('x', {});
  rmSync(join(folder, 'model', 'tokenizer.json'));
  const text = `{ "model": "model",
    "calibration": { "text": "nowhere.txt", "samples": "all" },
    "quantisation": { "weights": { "groupSize": 5, "bits": 9 }, "activations": { "groupSize": 3 } },
    "rotation": { "r4": 1 } }`;
  const { faults, model } = await client.request('check', { text, file });
  assert.equal(model?.layers, 2);
  const at = ({ range }: (typeof faults)[number]) => text.slice(range.offset, range.offset + range.length);
  assert.deepEqual(
    faults.map((fault) => [fault.code, at(fault)]),
    [
      ['tokenizer/missing', '"model"'],
      ['model/positions', '{'],
      ['quantization/group-size', '5'],
      ['quantization/group-size', '3'],
    ],
  );
  // A suggestion would set the key under its right name, which is too early while it is misspelt.
  assert.ok(faults.every(({ code, suggestion }) => code === 'model/positions' || !suggestion));
});

test('the worker ends when its parent does', async () => {
  const launch = JSON.stringify(workerLaunch());
  const client = new URL('../../src/extension/jobs/client.ts', import.meta.url).href;
  const parent = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      `const { WorkerClient } = await import(${JSON.stringify(client)});
       const worker = await WorkerClient.start(${launch});
       console.log(worker.pid);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [output] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(output.toString());
  assert.ok(pid > 0);
  process.kill(pid, 0);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await gone(pid, 5000);
});

async function gone(pid: number, withinMs: number): Promise<void> {
  for (const end = Date.now() + withinMs; Date.now() < end; ) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`process ${pid} is still there`);
}
