/** Models and estimates through the worker, as the editor asks for them: by the functions of the command line. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { ImportProgressEvent, RunEvent } from '../../src/protocol/events.ts';
import { legacyCheckpoint, TINY } from '../formats/llama2c-fixture.ts';
import { temporaryFolder } from '../formats/support.ts';
import { startHub } from '../hub/server.ts';
import { ggufOf } from '../model/gguf-models.ts';
import { ggufBytes } from '../model/gguf-writer.ts';
import { goldenFolder } from '../model/goldens.ts';
import { NO_OVERRIDES, startWorker } from './launch.ts';
import { makeWorkspace, readJson } from './workspace.ts';

const never = new AbortController().signal;

test('a GGUF file becomes a model folder, and its bytes are told to the last', async (t) => {
  const folder = temporaryFolder(t);
  const source = join(folder, 'tiny.gguf');
  writeFileSync(source, ggufBytes(ggufOf(await openCheckpoint(goldenFolder('llama')))));
  const client = await startWorker(t);
  const told: ImportProgressEvent[] = [];
  const hear = (event: RunEvent) => event.type === 'import-progress' && told.push(event);
  const params = { job: 'import-1', source, tokenizer: null, out: join(folder, 'models', 'tiny') };
  const made = await client.follow('importModel', params, hear, never);
  const checkpoint = await openCheckpoint(made.dir);
  assert.equal(made.parameters, 19_616);
  const [first, last] = [told[0]!, told.at(-1)!];
  assert.deepEqual([first.tensorsDone, first.bytesDone], [0, 0]);
  assert.deepEqual([last.tensorsDone, last.bytesDone], [last.tensors, last.bytes]);
  assert.equal(last.bytes, checkpoint.sizeBytes);
  await assert.rejects(client.follow('importModel', params, hear, never), {
    name: 'UserError',
    code: 'import/exists',
  });
});

test('what is no model, or lacks its tokenizer, is refused in words', async (t) => {
  const folder = temporaryFolder(t);
  const client = await startWorker(t);
  const source = join(folder, 'notes.bin');
  writeFileSync(source, 'these are notes, and no weights of any model');
  const params = { job: 'import-2', source, tokenizer: null, out: join(folder, 'out') };
  await assert.rejects(client.request('importModel', params), {
    code: 'file/kind',
    message: /notes\.bin is/,
  });
  writeFileSync(source, legacyCheckpoint(TINY));
  await assert.rejects(client.request('importModel', params), { code: 'import/no-tokenizer' });
  assert.ok(!existsSync(params.out));
});

test('a model comes from the Hub by its name', async (t) => {
  const model = join(makeWorkspace(t).folder, 'model');
  const files = Object.fromEntries(readdirSync(model).map((name) => [name, readFileSync(join(model, name))]));
  await startHub(t, [{ name: 'models/org/tiny', commit: 'a'.repeat(40), files }]);
  const client = await startWorker(t);
  let bytes = 0;
  const hear = (event: RunEvent) => {
    if (event.type === 'download-progress') bytes = event.bytesDone;
  };
  const done = await client.follow('download', { job: 'download-1', name: 'org/tiny' }, hear, never);
  const { sizeBytes } = await openCheckpoint(done.files[0]!);
  assert.ok(bytes >= sizeBytes, `${bytes} of ${sizeBytes}`);
  await assert.rejects(client.request('download', { job: 'download-2', name: 'not a name' }), {
    code: 'hub/name',
  });
});

test('an experiment is estimated as it is written, and not where it cannot run', async (t) => {
  const { experiment, folder } = makeWorkspace(t);
  const client = await startWorker(t);
  const settings = readJson(experiment);
  const ask = (text: string) =>
    client.request('estimate', { job: 'e', text, file: experiment, overrides: NO_OVERRIDES });
  const expected = await ask(JSON.stringify(settings));
  assert.ok(expected!.seconds > 0.1 && expected!.seconds < 60, `${expected!.seconds} s`);
  // A process of Node with ONNX Runtime takes 50 MB at least; the model has 80 KB.
  assert.ok(expected!.peakBytes! > 5e7 && expected!.peakBytes! < 2e9, `${expected!.peakBytes} bytes`);
  const secondsOf = async (steps: number) =>
    (await ask(JSON.stringify({ ...settings, rotation: { learning: { steps, batchSize: 4 } } })))!.seconds;
  const [few, more, most] = [await secondsOf(30), await secondsOf(3000), await secondsOf(300_000)];
  // On a fast machine a step takes a thousandth of what a job takes to begin: that is the same for all of them.
  assert.ok(most > 10 * expected!.seconds, 'a hundred thousand times the steps');
  const growth = (most - more) / (more - few);
  assert.ok(Math.abs(growth - 100) < 1, `each step takes as long: ${growth}`);
  assert.equal(await ask(JSON.stringify({ ...settings, model: 'nowhere' })), null);
  assert.equal(await ask('{ "model": '), null);
  const matrix = { bits: ['4-4-4'], methods: ['rtn', 'gptq'] };
  const table = await ask(JSON.stringify({ ...settings, matrix }));
  assert.ok(table!.seconds > 0);
  const quantization = { keys: { bits: 4, offset: 'mean' } };
  assert.equal(await ask(JSON.stringify({ ...settings, quantization, matrix })), null, 'a network would run');
  assert.ok(!existsSync(join(folder, '.spinquant')), 'nothing is written');
});
