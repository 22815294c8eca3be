/** The model of a run through the worker: a folder, a fault in words, and a stop that leaves nothing. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { WorkerClient } from '../../src/extension/jobs/client.ts';
import { CHECKPOINT_DEFAULTS } from '../../src/protocol/export-plan.ts';
import type { ExportModelParams } from '../../src/protocol/worker.ts';
import { temporaryFolder } from '../formats/support.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { workerLaunch } from './launch.ts';

const RUN = join(oldRunsFolder(), 'runs', '20261128T151219Z-gptq');
let client: WorkerClient;
before(async () => {
  client = await WorkerClient.start(workerLaunch());
});
after(() => client.kill());

const paramsFor = (out: string): ExportModelParams => ({
  ...{ job: 'model-1', run: RUN, format: 'onnx', target: 'stock', out },
  ...{ embeddings: 16, head: 16 },
});

test('a model is written, and what it cannot do is told', async (t) => {
  const out = join(temporaryFolder(t), 'out');
  const phases: string[] = [];
  const { bytes, notes } = await client.follow(
    'exportModel',
    paramsFor(out),
    (event) => phases.push(event.type === 'phase' ? event.phase : event.type),
    new AbortController().signal,
  );
  assert.ok(phases.includes('export'), `${phases}`);
  assert.ok(bytes > 10_000 && readdirSync(out).includes('model.onnx'));
  assert.match(notes.join(' '), /rounds activations to 4 bits.* read back in ONNX Runtime \d/);
  await assert.rejects(client.request('exportModel', paramsFor(out)), {
    name: 'UserError',
    code: 'import/exists',
  });
});

test('one that is stopped leaves nothing', async (t) => {
  const parent = temporaryFolder(t);
  const controller = new AbortController();
  const stopAt = (event: { readonly type: string }) => event.type === 'phase' && controller.abort();
  await assert.rejects(
    client.follow('exportModel', paramsFor(join(parent, 'out')), stopAt, controller.signal),
    { name: 'Cancelled' },
  );
  assert.deepEqual(readdirSync(parent), []);
});

test('a checkpoint is planned, written, and told what it measured', async (t) => {
  const out = join(temporaryFolder(t), 'out');
  const settings = { ...CHECKPOINT_DEFAULTS, format: 'compressed-tensors' } as const;
  const follow = { job: 'checkpoint-1', run: RUN, settings };
  const { signal } = new AbortController();
  const asked = { ...follow, measure: false };
  const { rows, measured } = await client.follow('planExport', asked, () => {}, signal);
  assert.equal(measured, null);
  assert.deepEqual(rows.find(({ part }) => part === 'weights')?.verdict, 'kept');
  const { bytes, notes } = await client.follow('exportCheckpoint', { ...follow, out }, () => {}, signal);
  assert.ok(bytes > 10_000 && readdirSync(out).includes('model.safetensors'));
  assert.match(notes.join(' '), /^Perplexity on 62 tokens of stories, read back: \d/);
});

test('the table of an ONNX folder says what it costs', async () => {
  const settings = { format: 'onnx', target: 'stock' } as const;
  const { signal } = new AbortController();
  const asked = { job: 'plan-1', run: RUN, settings, measure: true };
  const { rows, measured } = await client.follow('planExport', asked, () => {}, signal);
  assert.equal(rows.find(({ part }) => part === 'activations')?.verdict, 'changed');
  assert.ok(measured);
  const { text, tokens, unrounded, network, there } = measured;
  assert.deepEqual([text, tokens], ['stories', 62]);
  // Activations have 8 bits there, 4 here, and as many as float32 in the first: three networks.
  assert.equal(new Set([unrounded, network, there]).size, 3, JSON.stringify(measured));
  assert.ok([unrounded, network, there].every((value) => value > 1 && value < Infinity));
});
