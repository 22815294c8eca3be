import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { openRun } from '../../../src/runs/index.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { ROOT, screenshot } from '../rig/rig.ts';
import { eventually } from './eventually.ts';
import { lossesOf, newestRun } from './run-files.ts';
import type { Session } from './session.ts';

const PLAIN = 'plain.spinquant.json';
/** Enough for a person to pause in between. */
const STEPS = 400;
/** A run that is made or deleted elsewhere is seen within this time. */
const SEEN_MS = 2000;
/** Longer than a job that waits takes to begin. */
const QUIET_MS = 1500;

const runsIn = (folder: string): string[] => {
  const runs = join(folder, '.spinquant', 'runs');
  return existsSync(runs) ? readdirSync(runs) : [];
};
const statusBar = ({ workbench }: Session) => workbench.page.locator('.statusbar').innerText();

type Settings = { rotation: { learning: { steps: number } } } & Record<string, unknown>;
const settingsIn = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Settings;

/** Writes an experiment beside that of the suite, with other settings. */
function writeVariant(folder: string, name: string, change: object): void {
  const settings = { ...settingsIn(join(folder, EXPERIMENT)), ...change };
  writeFileSync(join(folder, name), JSON.stringify(settings, null, 2));
}

/** Two clicks in a moment are one wish. */
export async function doubleClick(session: Session): Promise<void> {
  const { folder, workbench } = session;
  await changeSteps(session, STEPS);
  writeVariant(folder, PLAIN, { rotation: { r1: 'hadamard', r2: 'hadamard' } });
  await workbench.openFile(EXPERIMENT);
  await workbench.lens('Optimize rotation').dblclick();
  await someSteps(folder);
  await workbench.openContainer('SpinQuant Lab');
  await sleep(QUIET_MS);
  assert.equal(runsIn(folder).length, 1);
  assert.deepEqual(
    (await workbench.treeTexts('Runs')).filter((text) => text.includes('waits')),
    [],
  );
}

async function someSteps(folder: string): Promise<void> {
  await eventually(
    'some steps',
    async () => {
      const run = await newestRun(folder);
      return run?.record.status === 'running' ? (await lossesOf(run)).length : 0;
    },
    (steps) => steps >= 2,
  );
}

/** Pause pauses: what waits does not begin, and every place has the same word. */
export async function pauseAndResume(session: Session): Promise<void> {
  const { folder, rig, workbench } = session;
  await workbench.openFile(PLAIN);
  await workbench.lens('Evaluate').click();
  await workbench.treeItem('Runs', 'waits for its turn').waitFor();
  const { dir } = (await newestRun(folder))!;
  await workbench.command('SpinQuant: Pause');
  const record = async () => (await openRun(dir)).record.status;
  await eventually('the word in its record', record, (status) => status !== 'running');
  assert.equal(await record(), 'paused');
  await workbench.treeItem('Runs', 'the queue is paused').waitFor();
  await sleep(QUIET_MS);
  assert.equal(runsIn(folder).length, 1, 'the next one did not begin');
  assert.match(await statusBar(session), /lab paused, 1 waiting/);
  const training = await workbench.panel(/^Training/);
  assert.match(await training.locator('.facts').innerText(), / · paused · step \d+\/400/);
  const label = await workbench.treeItem('Runs', /^lab /).getAttribute('aria-label');
  assert.match(label ?? '', /, paused, /);
  await screenshot(rig.page, 'paused-light');

  await changeSteps(session, 500);
  await workbench.page.locator('.statusbar-item', { hasText: 'lab paused' }).click();
  const told = workbench.notification('goes on with the settings that it began with');
  await told.waitFor();
  assert.match(await told.innerText(), /rotation\.learning\.steps 400 → 500/);
  await workbench.notification('rotation learned').waitFor({ timeout: 180_000 });
  await workbench.notification('evaluated').waitFor({ timeout: 120_000 });
  assert.equal((await lossesOf(await openRun(dir))).length, STEPS, 'the settings of the run');
  await workbench.command('Notifications: Clear All Notifications');
}

async function changeSteps({ folder }: Session, steps: number): Promise<void> {
  const path = join(folder, EXPERIMENT);
  const settings = settingsIn(path);
  settings.rotation.learning.steps = steps;
  writeFileSync(path, JSON.stringify(settings, null, 2));
  // The editor takes the file as it is on the disk.
  await sleep(500);
}

/** Runs of a terminal, in a folder that had none: they come, and go with their folder. */
export async function madeElsewhere({ folder, rig, workbench }: Session): Promise<void> {
  const sub = join(folder, 'elsewhere');
  mkdirSync(sub);
  const lab = settingsIn(join(folder, EXPERIMENT));
  const calibration = { text: '../calibration.txt', samples: 8, sequenceLength: 32 };
  const rotation = { r1: 'learned', r2: 'none', learning: { steps: 2, batchSize: 2 } };
  const evaluation = { perplexity: [] };
  const settings = { ...lab, model: '../model', calibration, rotation, evaluation };
  writeFileSync(join(sub, 'far.spinquant.json'), JSON.stringify(settings, null, 2));
  const cli = [join(ROOT, 'dist', 'cli.js'), 'optimize', 'far.spinquant.json'];
  const ended = promisify(execFile)(process.execPath, cli, { cwd: sub });
  const record = () => runsIn(sub).some((name) => existsSync(join(sub, '.spinquant/runs', name, 'run.json')));
  await eventually('its record', record, (isThere) => isThere);
  const texts = async () => (await workbench.treeTexts('Runs')).some((text) => /^far /.test(text));
  await eventually('it is listed', texts, (isListed) => isListed, SEEN_MS);
  await ended;

  await workbench.treeItem('Runs', /^far /).click();
  const training = await workbench.panel(/^Training · far/);
  await training.locator('#loss .plot svg').waitFor();
  rmSync(join(sub, '.spinquant'), { recursive: true });
  await eventually('it is gone', texts, (isListed) => !isListed, SEEN_MS);
  await training.getByRole('heading', { name: /^The run far .* was deleted$/ }).waitFor({ timeout: SEEN_MS });
  await screenshot(rig.page, 'deleted-light');
  await training.getByText('Show the newest run').click();
  await training.locator('#loss .plot svg').waitFor();
}

/** Where a start fails there is its reason, and no run that somebody could take for it. */
export async function failedStart({ folder, rig, workbench }: Session): Promise<void> {
  const broken = join(folder, 'broken');
  mkdirSync(broken);
  for (const name of readdirSync(join(folder, 'model')))
    writeFileSync(join(broken, name), readFileSync(join(folder, 'model', name)));
  writeVariant(folder, 'broken.spinquant.json', { model: 'broken' });
  // From the text: in a panel the keys are the panel's.
  await workbench.showTab(/^plain\.spinquant\.json/);
  await workbench.openFile('broken.spinquant.json');
  await workbench.lens('Optimize rotation').waitFor();
  // The editor has looked at it, and found nothing.
  const weights = readdirSync(broken).filter((name) => name.endsWith('.safetensors'));
  for (const name of weights) writeFileSync(join(broken, name), 'no weights');
  await workbench.lens('Optimize rotation').click();
  const training = await workbench.webview(/^Training/);
  await training.getByRole('heading', { name: 'broken did not start' }).waitFor();
  assert.equal(await training.locator('.plot svg').count(), 0);
  await screenshot(rig.page, 'not-started-light');
  await workbench.command('Notifications: Clear All Notifications');
  // A command without a run is about the experiment in front.
  await workbench.command('SpinQuant: Show Training');
  await training.getByRole('heading', { name: 'No run yet' }).waitFor();
  await workbench.showTab(/^lab\.spinquant\.json/);
  await workbench.command('SpinQuant: Show Training');
  await workbench.webview(/^Training · lab/);
}

/** A window that closes interrupts its run, and the next one offers to go on, with what waited. */
export async function closeWindow(session: Session): Promise<void> {
  const { folder, rig, workbench } = session;
  await changeSteps(session, 3000);
  await workbench.showTab(/^lab\.spinquant\.json/);
  await workbench.lens('Optimize rotation').click();
  await someSteps(folder);
  const { dir } = (await newestRun(folder))!;
  await workbench.showTab(/^plain\.spinquant\.json/);
  await workbench.lens('Re-run (').click();
  await workbench.treeItem('Runs', 'waits for its turn').waitFor();
  await workbench.reload();
  const told = workbench.notification('it was being optimized when the window was closed');
  await told.waitFor({ timeout: 360_000 });
  assert.match(await told.innerText(), /Jobs that waited behind it: 1\./);
  const { status, error } = (await openRun(dir)).record;
  assert.deepEqual([status, error?.message], ['interrupted', 'Interrupted by closing the window.']);
  await workbench.openContainer('SpinQuant Lab');
  const label = await workbench.treeItem('Runs', /^lab /).getAttribute('aria-label');
  assert.match(label ?? '', /, interrupted, /);
  await screenshot(rig.page, 'closed-light');
  await told.getByRole('button', { name: 'Resume' }).click();
  await eventually(
    'it goes on',
    async () => (await openRun(dir)).record.status,
    (now) => now === 'running',
  );
  await workbench.treeItem('Runs', 'waits for its turn').waitFor();
  await workbench.command('SpinQuant: Cancel');
  const words = async () => [
    (await openRun(dir)).record.status,
    await workbench.treeItem('Runs', /^lab /).getAttribute('aria-label'),
  ];
  await eventually('one word everywhere', words, ([status, shown]) =>
    Boolean(status === 'cancelled' && shown?.includes(', cancelled, ')),
  );
}
