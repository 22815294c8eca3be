import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import {
  checkExperiment,
  ExperimentError,
  experimentSlug,
  portableExperiment,
  resolveExperiment,
  resolvePortable,
} from '../../src/config/index.ts';

async function folderWith(t: { after(fn: () => Promise<void>): void }, text: string) {
  const folder = await mkdtemp(join(tmpdir(), 'spinquant-config-'));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'model'));
  await writeFile(join(folder, 'model', 'config.json'), '{}');
  await writeFile(join(folder, 'train.txt'), 'once upon a time');
  await writeFile(join(folder, 'test.txt'), 'there was a test');
  await writeFile(join(folder, 'x.spinquant.json'), text);
  return { folder, file: join(folder, 'x.spinquant.json') };
}

test('paths become absolute from the folder of the file, and portable again', async (t) => {
  const { folder, file } = await folderWith(
    t,
    '{ "model": "./model", "calibration": { "text": "train.txt" }, "evaluation": { "perplexity": [ { "name": "t", "text": "test.txt" } ] } }',
  );
  const experiment = await resolveExperiment(file, 'optimize');
  assert.equal(experiment.model, join(folder, 'model'));
  assert.deepEqual(experiment.calibration.text, [join(folder, 'train.txt')]);
  assert.equal(experiment.evaluation.perplexity[0]?.text, join(folder, 'test.txt'));
  assert.equal(experiment.runs, join(folder, '.spinquant', 'runs'));
  assert.equal(experiment.source.directory, folder);
  const portable = portableExperiment(experiment);
  assert.equal(portable.model, 'model');
  assert.equal(portable.runs, '.spinquant/runs');
  assert.deepEqual(resolvePortable(portable, file), experiment);
});

test('every file that is missing is a fault at its place', async (t) => {
  const text =
    '{ "model": "nomodel", "calibration": { "text": ["train.txt", "no.txt"] }, "evaluation": { "perplexity": [ { "name": "t", "text": "model" } ] } }';
  const { file } = await folderWith(t, text);
  const { experiment, faults } = await checkExperiment(text, file);
  assert.equal(experiment, null);
  assert.deepEqual(
    faults.map((fault) => [
      fault.code,
      text.slice(fault.range.offset, fault.range.offset + fault.range.length),
    ]),
    [
      ['config/missing-file', '"nomodel"'],
      ['config/missing-file', '"no.txt"'],
      ['config/missing-file', '"model"'],
    ],
  );
});

test('files that are missing are told together with wrong keys and values, also under a misspelt key', async (t) => {
  const text = `{
  "model": "nomodel",
  "calibraton": { "text": ["train.txt", 4, "no.txt"] },
  "evaluation": { "perplexity": [ { "name": 1, "text": "none.txt" }, { "name": "t", "text": "train.txt" } ] },
  "runs": "train.txt",
  "runs": "model/config.json",
  "device": "gpu"
}`;
  const { file } = await folderWith(t, text);
  const { experiment, faults } = await checkExperiment(text, file);
  assert.equal(experiment, null);
  assert.deepEqual(
    faults.map(({ code, range }) => `${code} ${text.slice(range.offset, range.offset + range.length)}`),
    [
      'config/missing-file "nomodel"',
      'config/unknown-key "calibraton"',
      'config/invalid-value 4',
      'config/missing-file "no.txt"',
      'config/invalid-value 1',
      'config/missing-file "none.txt"',
      'config/missing-file "train.txt"',
      'config/duplicate-key "runs"',
      'config/missing-file "model/config.json"',
      'config/invalid-value "gpu"',
    ],
  );
});

test('a model that is a file says how to convert it', async (t) => {
  const { file } = await folderWith(
    t,
    '{ "model": "train.txt", "rotation": { "r1": "none", "r2": "none" } }',
  );
  await assert.rejects(resolveExperiment(file), (error) => {
    assert.ok(error instanceof ExperimentError);
    assert.match(error.message, /x\.spinquant\.json:1:12: model: .*train\.txt is a file/);
    assert.match(error.hint, /spinquant import/);
    return true;
  });
});

test('all errors are in the message of the exception', async (t) => {
  const { file } = await folderWith(t, '{ "model": 3, "device": "gpu" }');
  await assert.rejects(
    resolveExperiment(file),
    /3 faults[\s\S]*needs a text[\s\S]*model is 3[\s\S]*device is "gpu"/,
  );
});

test('each fault has its hint below it; a hint that all share stands once', async (t) => {
  const messageOf = async (text: string) => {
    const { file } = await folderWith(t, text);
    const error: unknown = await resolveExperiment(file).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof ExperimentError);
    return { lines: error.message.split('\n'), hint: error.hint, faults: error.faults };
  };
  const several = await messageOf('{ "model": 3, "device": "gpu" }');
  assert.equal(several.lines.length, 1 + 2 * 3);
  for (const [index, { hint }] of several.faults.entries()) {
    assert.ok(hint !== '');
    assert.equal(several.lines[2 + 2 * index], `    ${hint}`);
  }
  const one = await messageOf('{ "model": 3, "rotation": { "r1": "none", "r2": "none" } }');
  assert.equal(one.lines.length, 2, 'the hint of one fault is that of the error');
  const equal = await messageOf(
    '{ "model": "none", "calibration": { "text": ["a.txt", "b.txt"] }, "rotation": { "r1": "none", "r2": "none" } }',
  );
  assert.deepEqual(
    [equal.lines.length, equal.hint],
    [1 + equal.faults.length, 'Paths are relative to the folder of the experiment file.'],
  );
});

test('a file that is not there is a fault with a hint', async () => {
  await assert.rejects(resolveExperiment('nowhere.spinquant.json'), { code: 'config/unreadable' });
});

test('slugs fit every file system', () => {
  assert.equal(experimentSlug('/a/Quick test (2).spinquant.json'), 'quick-test-2');
  assert.equal(experimentSlug('ünï.json'), 'n');
  assert.equal(experimentSlug('§.spinquant.json'), 'experiment');
});
