/** What an experiment names on the Hub: while it is edited, and when a job starts. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import {
  checkExperiment,
  ExperimentError,
  portableExperiment,
  resolveExperiment,
  resolvePortable,
} from '../../src/config/index.ts';
import { checkExperimentText, fetchSources, loadExperiment } from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { temporaryFolder } from '../formats/support.ts';
import { writeModel } from '../fuzz/fixtures/model.ts';
import { TEXT } from '../fuzz/fixtures/workspace.ts';
import { type Hub, startHub } from './server.ts';

const EXPERIMENT = {
  model: 'org/tiny',
  rotation: { r1: 'hadamard', r2: 'hadamard' },
  calibration: { text: { path: 'hf://datasets/org/texts', split: 'train' }, sequenceLength: 8, samples: 2 },
  evaluation: { perplexity: [{ name: 't', text: 'hf://datasets/org/texts/test', sequenceLength: 8 }] },
};

interface Setting {
  readonly hub: Hub;
  readonly folder: string;
  readonly file: string;
  readonly text: string;
}

/** @param field of the rows on the Hub. */
async function setting(t: TestContext, field = 'text'): Promise<Setting> {
  const [folder, model] = [temporaryFolder(t), temporaryFolder(t)];
  await writeModel(model);
  const rows = Buffer.from(
    TEXT.split('\n')
      .map((line) => `${JSON.stringify({ [field]: line })}\n`)
      .join(''),
  );
  const commit = 'e'.repeat(40);
  const hub = await startHub(t, [
    {
      name: 'models/org/tiny',
      commit,
      files: Object.fromEntries(readdirSync(model).map((name) => [name, readFileSync(join(model, name))])),
    },
    { name: 'datasets/org/texts', commit, files: { 'data/test.jsonl': rows, 'data/train.jsonl': rows } },
  ]);
  const file = join(folder, 'x.spinquant.json');
  const text = JSON.stringify(EXPERIMENT, null, 2).replaceAll('org/texts', 'org/texts/data');
  writeFileSync(file, text);
  return { hub, folder, file, text };
}

async function outcome<T>(work: AsyncGenerator<RunEvent, T>): Promise<{ events: RunEvent[]; value: T }> {
  const events: RunEvent[] = [];
  for (;;) {
    const next = await work.next();
    if (next.done) return { events, value: next.value };
    events.push(next.value);
  }
}

test('while a file is edited, what is not downloaded is a warning at its line, and nobody is asked', async (t) => {
  const { hub, file, text } = await setting(t);
  const { experiment, faults } = await checkExperiment(text, file);
  assert.deepEqual(
    faults.map(({ severity, code, range }) => [
      severity,
      code,
      text.slice(range.offset, range.offset + range.length),
    ]),
    [
      ['warning', 'hub/not-downloaded', '"org/tiny"'],
      ['warning', 'hub/not-downloaded', '"hf://datasets/org/texts/data"'],
      ['warning', 'hub/not-downloaded', '"hf://datasets/org/texts/data/test"'],
    ],
  );
  assert.equal(experiment?.model, 'org/tiny');
  assert.deepEqual((await checkExperimentText({ text, file })).faults, []);
  assert.deepEqual(hub.requests, []);
  process.env.HF_HUB_OFFLINE = '1';
  const offline = await checkExperiment(text, file);
  assert.deepEqual(
    offline.faults.map(({ severity, code }) => `${severity} ${code}`),
    Array.from({ length: 3 }, () => 'error hub/offline'),
  );
});

test('a job downloads what it needs, then the experiment is checked against it', async (t) => {
  const { hub, file } = await setting(t);
  const written = await loadExperiment(file, 'evaluate');
  const { events, value } = await outcome(fetchSources(written, 'evaluate'));
  assert.ok(events.some((event) => event.type === 'download-progress' && event.name === 'org/tiny'));
  assert.ok(!hub.requests.some((line) => line.includes('train')), 'the job reads no calibration text');
  assert.equal(value.model, 'org/tiny');
  assert.deepEqual(
    value.source.warnings.map(({ code }) => code).filter((code) => code.startsWith('hub/')),
    [],
  );
  const again = await outcome(fetchSources(value, 'evaluate'));
  assert.deepEqual(again.events, []);
});

test('rows without the field are told at the line of the text, with the fields that there are', async (t) => {
  const { file, text } = await setting(t, 'body');
  const written = await loadExperiment(file, 'evaluate');
  await assert.rejects(outcome(fetchSources(written, 'evaluate')), (error) => {
    assert.ok(error instanceof ExperimentError);
    const [fault] = error.faults.filter(({ severity }) => severity === 'error');
    assert.equal(fault?.code, 'rows/no-field');
    assert.match(fault.message, /test\.jsonl:1 has no field "text"; its fields are "body"/);
    assert.equal(text.slice(fault.range.offset).startsWith('"hf://datasets/org/texts/data/test"'), true);
    return true;
  });
});

test('a folder on the disk wins over the Hub; names stay names in a run', async (t) => {
  const { hub, folder, file } = await setting(t);
  const remote = await resolveExperiment(file);
  const portable = portableExperiment(remote);
  assert.equal(portable.model, 'org/tiny');
  assert.deepEqual(portable.evaluation.perplexity[0]?.text, 'hf://datasets/org/texts/data/test');
  assert.deepEqual(resolvePortable(portable, file).model, 'org/tiny');
  mkdirSync(join(folder, 'org'));
  const { faults } = await checkExperiment(readFileSync(file, 'utf8'), file);
  assert.equal(faults[0]?.code, 'config/missing-file', 'a folder of that first name is a path');
  mkdirSync(join(folder, 'org', 'tiny'));
  writeFileSync(join(folder, 'org', 'tiny', 'config.json'), '{}');
  assert.equal((await resolveExperiment(file)).model, join(folder, 'org', 'tiny'));
  assert.deepEqual(hub.requests, []);
});

test('paths inside of objects are relative to the file, and portable', async (t) => {
  const { folder, file } = await setting(t);
  writeFileSync(join(folder, 'rows.jsonl'), '{"text":"a"}\n');
  const part = { path: 'rows.jsonl', limit: 3 };
  writeFileSync(file, JSON.stringify({ ...EXPERIMENT, calibration: { text: ['rows.jsonl', part] } }));
  const experiment = await resolveExperiment(file);
  const path = join(folder, 'rows.jsonl');
  assert.deepEqual(experiment.calibration.text, [path, { path, split: null, field: 'text', limit: 3 }]);
  assert.deepEqual(portableExperiment(experiment).calibration.text[1], {
    split: null,
    field: 'text',
    ...part,
  });
  assert.deepEqual(resolvePortable(portableExperiment(experiment), file).calibration, experiment.calibration);
});
