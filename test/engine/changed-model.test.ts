/** A model whose files change under a job ends it with a message, and nothing computed from the mixture is kept. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { resolveExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, optimizeRotation } from '../../src/engine/index.ts';
import { changeOf, markFiles } from '../../src/engine/model/unchanged.ts';
import { UserError } from '../../src/protocol/errors.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { listRuns, openRun } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { makeWorkspace, type Workspace } from '../worker/workspace.ts';

const weightsOf = ({ folder }: Workspace): string => join(folder, 'model', 'model.safetensors');
const rotationsOf = (run: string): Buffer => readFileSync(join(run, 'rotations.safetensors'));

/** Writes over the last weights: the header stays valid. */
function overwrite(path: string): void {
  const bytes = readFileSync(path);
  bytes.fill(0x3c, bytes.length - 64);
  writeFileSync(path, bytes);
}

/** Goes through a job's events and changes the model at the first one that matches. */
async function disturbed(
  job: AsyncGenerator<RunEvent, unknown>,
  isTime: (event: RunEvent) => boolean,
  change: () => void,
): Promise<{ error: UserError; run: string | null }> {
  let changed = false;
  let run: string | null = null;
  try {
    for await (const event of job) {
      if (event.type === 'run-started') run = event.run;
      if (!changed && isTime(event)) {
        change();
        changed = true;
      }
    }
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return { error, run };
  }
  return assert.fail(`the job ended as if nothing had happened${changed ? '' : ', nor had it'}`);
}

const begins = (phase: string) => (event: RunEvent) =>
  event.type === 'phase' && event.phase === phase && event.state === 'started';

async function workspaceOf(
  t: TestContext,
  settings: object = {},
  what: 'optimize' | 'evaluate' = 'optimize',
) {
  const workspace = makeWorkspace(t, { steps: 4, objective: 'cross-entropy' });
  const file = workspace.variant('changed', settings);
  return { workspace, weights: weightsOf(workspace), experiment: await resolveExperiment(file, what) };
}

test('written to while rotations are learned: none are kept, and a resumed run ends as one never disturbed', async (t) => {
  const { workspace, weights, experiment } = await workspaceOf(t);
  const whole = await collect(optimizeRotation(experiment, {}));
  const original = join(workspace.folder, 'original');
  copyFileSync(weights, original);
  const isTime = (event: RunEvent) => event.type === 'step' && event.step === 2;
  const { error, run } = await disturbed(optimizeRotation(experiment, {}), isTime, () => overwrite(weights));
  assert.equal(error.code, 'model/changed');
  assert.match(
    error.message,
    /model\.safetensors was written to at \d{4}-.*, after this job had opened it\.$/,
  );
  assert.match(error.hint, /Put the file back and resume/);
  assert.equal((await openRun(run!)).record.status, 'failed');
  assert.equal(existsSync(join(run!, 'rotations.safetensors')), false);
  assert.equal(existsSync(join(run!, 'results.json')), false);
  copyFileSync(original, weights);
  const resumed = await collect(optimizeRotation(experiment, { resumeFrom: run! }));
  assert.deepEqual(rotationsOf(resumed.result.run), rotationsOf(whole.result.run));
});

test('replaced while a text is evaluated: the perplexity is not kept', async (t) => {
  const { workspace, weights, experiment } = await workspaceOf(
    t,
    { rotation: { r1: 'hadamard', r2: 'none' } },
    'evaluate',
  );
  const replace = () => {
    const other = join(workspace.folder, 'other');
    copyFileSync(weights, other);
    renameSync(other, weights);
  };
  const { error } = await disturbed(evaluateExperiment(experiment, {}), begins('evaluate'), replace);
  assert.equal(error.code, 'model/changed');
  assert.match(error.message, /model\.safetensors was replaced by another file at /);
  assert.deepEqual((await listRuns(experiment.runs)).runs, []);
});

test('written to while weights are rounded: no layer of it is kept', async (t) => {
  const settings = { quantization: { weights: { method: 'gptq' } } };
  const { weights, experiment } = await workspaceOf(t, settings);
  const { error, run } = await disturbed(optimizeRotation(experiment, {}), begins('round'), () =>
    appendFileSync(weights, 'x'),
  );
  assert.equal(error.code, 'model/changed');
  assert.match(error.message, /was written to: it had \d+ bytes and has \d+/);
  assert.deepEqual(readdirSync(join(run!, 'rounded')), []);
});

test('permissions and links are no change; another file of the same size and time is one', async (t) => {
  const { folder } = makeWorkspace(t);
  const path = join(folder, 'data', 'test.txt');
  const marks = markFiles([path, path]);
  assert.equal(marks.length, 1);
  chmodSync(path, 0o600);
  linkSync(path, join(folder, 'link'));
  assert.equal(changeOf(marks), null);
  const other = join(folder, 'other');
  writeFileSync(other, 'y'.repeat(Number(marks[0]!.stat.size)));
  // Whole seconds: the finest time that can be set is coarser than the one that is read.
  utimesSync(path, 1000, 1000);
  utimesSync(other, 1000, 1000);
  assert.match(changeOf(marks)!, /was written to at/);
  const again = markFiles([path]);
  // Times advance by some milliseconds at once.
  await new Promise((resolve) => setTimeout(resolve, 50));
  renameSync(other, path);
  assert.match(changeOf(again)!, /replaced by another file of the same size and time/);
  rmSync(path);
  assert.match(changeOf(again)!, /test\.txt was removed$/);
});
