import assert from 'node:assert/strict';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '../../../src/engine/model/checkpoint.ts';
import { header, type Sizes, tokenizerFile, vocabulary } from '../../formats/llama2c-fixture.ts';
import type { Repository } from '../../hub/server.ts';
import { ggufOf } from '../../model/gguf-models.ts';
import { ggufBytes } from '../../model/gguf-writer.ts';
import { goldenFolder } from '../../model/goldens.ts';
import { ROOT, screenshot } from '../rig/rig.ts';
import type { Workbench } from '../rig/workbench.ts';
import { eventually } from './eventually.ts';
import { drawnLine } from './panels.ts';
import { lossesOf, newestRun } from './run-files.ts';
import { screenshotAtEveryWidth } from './screenshots.ts';
import type { Session } from './session.ts';

/** From the click to a falling curve, on a busy machine too. */
const CURVE_MS = 120_000;
const DEMO = 'spinquant-demo';

const MODEL = join(ROOT, 'examples', 'demo', 'model');

/** The demo's model, as the Hub of the test has it. */
export const ON_HUB: Repository = {
  name: 'models/org/tiny',
  commit: 'c'.repeat(40),
  files: Object.fromEntries(readdirSync(MODEL).map((name) => [name, readFileSync(join(MODEL, name))])),
};

/** A button or link of a view that has nothing to show. */
const welcome = ({ page }: Workbench, text: string) =>
  page.locator('.welcome-view-content').getByText(text, { exact: true }).first();

/** The field of a question, or of a dialog for files. */
const answer = ({ page }: Workbench) => page.locator('.quick-input-widget input').first();

async function typePath(workbench: Workbench, title: string, path: string): Promise<void> {
  await workbench.page.locator('.quick-input-title', { hasText: title }).waitFor();
  // The dialog writes its own folder into the field when it has listed it, over what was typed before.
  await workbench.choice('..').waitFor();
  await answer(workbench).fill(path);
  await workbench.page
    .locator('.quick-input-widget')
    .getByRole('button', { name: /^(Choose|OK)$/ })
    .click();
}

export async function tryDemo(session: Session): Promise<void> {
  const { folder, workbench } = session;
  await workbench.openContainer('SpinQuant Lab');
  await welcome(workbench, 'Try the Demo').waitFor();
  await screenshotAtEveryWidth(workbench, 'first-empty');
  await welcome(workbench, 'Try the Demo').click();
  await workbench.page.getByRole('tab', { name: /^demo\.spinquant\.json/ }).waitFor();
  assert.deepEqual(readdirSync(join(folder, DEMO)).sort(), [
    'calibration.txt',
    'demo.spinquant.json',
    'model',
    'test.txt',
  ]);
  const told = workbench.notification('The demo is ready');
  await told.waitFor();
  assert.match(await told.innerText(), /It takes about \d+ (s|min), \d+ MiB on this machine/);
  await workbench.lens(/Optimize rotation · about \d+ (s|min), \d+ MiB/).waitFor();
  await screenshot(workbench.page, 'first-demo-light');
}

export async function runDemo({ folder, workbench }: Session): Promise<void> {
  const pressed = Date.now();
  // The notification has the same button, and hides itself when it was there for some seconds.
  await workbench.lens('Optimize rotation').click();
  const training = await workbench.webview(/^Training · demo/);
  const points = async () => (await drawnLine(training, 'loss')).split('L').length;
  await eventually('a curve', points, (count) => count > 20, CURVE_MS);
  const seconds = (Date.now() - pressed) / 1000;
  await workbench.notification('rotation learned').waitFor({ timeout: CURVE_MS });
  const run = await eventually(
    'the run is finished',
    () => newestRun(join(folder, DEMO)),
    (newest) => newest?.record.status === 'finished',
  );
  const losses = await lossesOf(run!);
  // The objective is a mean over the whole captured text, so that its fall is no luck of a batch.
  assert.ok(losses.at(-1)! < 0.8 * losses[0]!, `${losses[0]} → ${losses.at(-1)}`);
  assert.ok(seconds < CURVE_MS / 1000);
  console.log(`A curve of more than 20 steps ${seconds.toFixed(0)} s after the click.`);
  await screenshotAtEveryWidth(workbench, 'first-curve');
  await workbench.command('Notifications: Clear All Notifications');
}

export async function explainModels({ workbench }: Session): Promise<void> {
  await screenshotAtEveryWidth(workbench, 'first-walkthrough', () => showModelStep(workbench));
  await workbench.command('View: Close All Editors');
}

async function showModelStep(workbench: Workbench): Promise<void> {
  await workbench.command('View: Close All Editors');
  await workbench.command('Welcome: Open Walkthrough');
  await workbench.pick('Quantize a model with learned rotations');
  const step = workbench.page.locator('.getting-started-step', { hasText: 'Bring a model' });
  await step.click();
  await step.getByText('A model is a folder').waitFor();
  await step.getByText('Download from the Hub…').waitFor();
}

export async function refuseOther({ folder, workbench }: Session): Promise<void> {
  const path = join(folder, 'notes.bin');
  writeFileSync(path, 'these are notes, and no weights of any model');
  await workbench.command('SpinQuant: Import GGUF');
  await typePath(workbench, 'A GGUF file', path);
  const told = workbench.notification('a GGUF file or a llama2.c checkpoint is expected');
  await told.waitFor();
  assert.match(await told.innerText(), /notes\.bin is .*text/);
  await workbench.command('Notifications: Clear All Notifications');
}

export async function importModel({ folder, rig, workbench }: Session): Promise<void> {
  const path = join(folder, 'tiny.gguf');
  writeFileSync(path, ggufBytes(ggufOf(await openCheckpoint(goldenFolder('llama')))));
  await workbench.command('SpinQuant: Import GGUF');
  await typePath(workbench, 'A GGUF file', path);
  await workbench.page.locator('.quick-input-title', { hasText: 'The model folder to make' }).waitFor();
  assert.match(await answer(workbench).inputValue(), /^models\/tiny$/);
  await screenshot(rig.page, 'first-import-light');
  await workbench.page.keyboard.press('Enter');
  const told = workbench.notification('models/tiny is a model folder now, with 19,616 parameters.');
  await told.waitFor();
  await screenshot(rig.page, 'first-imported-light');
  assert.equal((await openCheckpoint(join(folder, 'models', 'tiny'))).config.layers, 2);
}

export async function makeExperiment({ folder, rig, workbench }: Session): Promise<void> {
  await workbench
    .notification('is a model folder now')
    .getByRole('button', { name: 'New Experiment' })
    .click();
  const first = workbench.page.locator('.quick-input-list .monaco-list-row').first();
  await first.getByText('Quick look W4A4KV4').waitFor();
  await screenshot(rig.page, 'first-wizard-light');
  // The first answer of each page is one that does no harm.
  await workbench.page.keyboard.press('Enter');
  for (const offered of ['calibration.txt', 'test.txt']) {
    await first.getByText(offered, { exact: true }).waitFor();
    await workbench.page.keyboard.press('Enter');
  }
  await workbench.page.getByRole('tab', { name: /^quick\.spinquant\.json/ }).waitFor();
  const text = readFileSync(join(folder, 'quick.spinquant.json'), 'utf8');
  assert.match(text, /"model": "models\/tiny"/);
  assert.match(text, /"objective": "peak"/);
  assert.match(text, /"calibration": \{[^}]*calibration\.txt"/);
  assert.match(text, /"evaluation": \{[^}]*test\.txt"/);
}

/** 1.2 GB, so that the person has time to stop it; with the vocabulary below. */
const LARGE: Sizes = {
  ...{ dim: 1024, hiddenDim: 2816, layers: 24, heads: 16, kvHeads: 16 },
  ...{ vocabSize: 261, seqLen: 16 },
};

/** A legacy header, embeddings, norms, seven matrices for each layer, and two tables of rotary angles. */
function legacyBytes({ dim, hiddenDim, layers, heads, vocabSize, seqLen }: Sizes): number {
  const layer = 2 * dim + 4 * dim * dim + 3 * hiddenDim * dim;
  return 28 + 4 * (vocabSize * dim + layers * layer + dim + (seqLen * dim) / heads);
}

/** A checkpoint of llama2.c, whose tokenizer lies beside it. */
export async function stopImport({ folder, workbench }: Session): Promise<void> {
  const { page } = workbench;
  const path = join(folder, 'large.bin');
  writeFileSync(path, header(LARGE));
  // Zeros that take no room on the disk.
  truncateSync(path, legacyBytes(LARGE));
  writeFileSync(join(folder, 'tokenizer.bin'), tokenizerFile(vocabulary(['th', 'e'])));
  await workbench.command('SpinQuant: Import GGUF');
  await typePath(workbench, 'A GGUF file', path);
  await page.locator('.quick-input-title', { hasText: 'The model folder to make' }).waitFor();
  await page.keyboard.press('Enter');
  const told = workbench.notification('Importing large.bin');
  await told.getByText(/ of 1\.1 GiB/).waitFor();
  await told.getByRole('button', { name: 'Cancel' }).click();
  await told.waitFor({ state: 'detached' });
  await eventually(
    'nothing is left of it',
    () => readdirSync(join(folder, 'models')),
    (names) => names.join() === 'tiny',
  );
}

export async function downloadModel({ rig, workbench }: Session): Promise<void> {
  await workbench.command('SpinQuant: Download from the Hub');
  await answer(workbench).fill('org/tiny');
  await screenshot(rig.page, 'first-download-light');
  await workbench.page.keyboard.press('Enter');
  await workbench.notification('org/tiny is on this disk').waitFor();
  await workbench.command('Notifications: Clear All Notifications');
  await workbench.command('SpinQuant: Download from the Hub');
  await answer(workbench).fill('not a name');
  await workbench.page.keyboard.press('Enter');
  await workbench.notification('is no name on the Hub').waitFor();
  await workbench.command('Notifications: Clear All Notifications');
}

/** The window begins anew with the demo's folder, and goes on where the person was. */
export async function goOnFromNoFolder({ rig, workbench }: Session): Promise<void> {
  const { page } = workbench;
  // An empty window, whose side bar is closed.
  await page.goto(`${new URL(rig.server.url('/')).origin}/?ew=true`, {
    waitUntil: 'domcontentloaded',
    timeout: 60_000,
  });
  await workbench.openContainer('SpinQuant Lab');
  await welcome(workbench, 'Try the Demo').click();
  const dialog = page.locator('.monaco-dialog-box');
  await dialog.getByText('are copied to a new folder spinquant-demo').waitFor();
  await screenshot(page, 'first-no-folder-light');
  await dialog.getByRole('button', { name: /^Make ~/ }).click();
  await page.getByRole('tab', { name: /^demo\.spinquant\.json/ }).waitFor({ timeout: 60_000 });
  await workbench.notification('The demo is ready').waitFor({ timeout: 60_000 });
  await screenshot(page, 'first-no-folder-opened-light');
}
