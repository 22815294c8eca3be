import assert from 'node:assert/strict';
import type { Run } from '../../../src/runs/index.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { screenshot } from '../rig/rig.ts';
import type { Workbench } from '../rig/workbench.ts';
import { eventually } from './eventually.ts';
import { drawnLine, numberOf, tableBehind } from './panels.ts';
import { lossesOf, newestRun } from './run-files.ts';
import { type Session, SIZE } from './session.ts';

const REDRAWN_MS = 3000;

/** Points of an SVG path of straight lines. */
const points = (path: string) => path.split('L').length;

/** From the palette to a finished run, with the curve watched on the way. */
export async function learn({ folder, workbench }: Session): Promise<void> {
  await workbench.openFile(EXPERIMENT);
  await workbench.lens('Optimize rotation').waitFor();
  await workbench.command('SpinQuant: Optimize Rotation');
  const training = await workbench.webview(/^Training/);
  const line = () => drawnLine(training, 'loss');
  const early = await eventually('a curve', line, (path) => points(path) > 1);
  await eventually('a longer curve', line, (path) => points(path) > points(early));
  await workbench.notification('rotation learned').waitFor({ timeout: 180_000 });

  const run = await finishedRun(folder);
  const losses = await lossesOf(run);
  assert.equal(losses.length, SIZE.steps);
  const shown = await eventually(
    'every step in the table',
    () => tableBehind(training, 'loss'),
    (rows) => rows.length === SIZE.steps,
  );
  assert.deepEqual(
    shown.map((row) => numberOf(row[1]!)),
    losses.map((loss) => Number(loss.toPrecision(4))),
  );
  const layers = await roundedLayers(run);
  assert.equal((await tableBehind(training, 'rounding')).length, layers, 'a row for each rounded layer');
}

async function roundedLayers(run: Run): Promise<number> {
  const events = await run.readEvents();
  return new Set(events.flatMap((event) => (event.type === 'rounding' ? [event.layer] : []))).size;
}

/** The worker dies in the middle; the person reads why and presses Resume. */
export async function killAndResume({ folder, rig, workbench }: Session): Promise<void> {
  const before = (await newestRun(folder))!.record.id;
  await workbench.showTab(/^lab\.spinquant\.json/);
  await workbench.lens('Optimize rotation').click();
  const run = await eventually(
    'some steps of a new run',
    async () => {
      const newest = await newestRun(folder);
      return newest && { newest, done: newest.record.id === before ? 0 : (await lossesOf(newest)).length };
    },
    (seen) => (seen?.done ?? 0) >= 3,
  );
  const { dir, record } = run!.newest;
  process.kill(record.process.pid, 'SIGKILL');

  const message = workbench.notification('was ended by SIGKILL');
  await message.waitFor();
  assert.match(await message.innerText(), /Its steps are kept/);
  await everyViewSaysInterrupted(workbench);
  await screenshot(rig.page, 'interrupted-light');
  await message.getByRole('button', { name: 'Resume' }).click();
  await workbench.notification('rotation learned').waitFor({ timeout: 180_000 });
  const finished = await finishedRun(folder);
  assert.equal(finished.dir, dir);
  const losses = await lossesOf(finished);
  assert.ok(losses.length >= SIZE.steps, `${losses.length} steps`);
}

/** The editor draws lenses and trees anew within a moment of being told; nothing may wait for something else. */
async function everyViewSaysInterrupted(workbench: Workbench): Promise<void> {
  const training = await workbench.webview(/^Training/);
  const seen = async () => ({
    lens: await workbench.lens('Resume').isVisible(),
    panel: await training.getByText('The run was interrupted.').isVisible(),
    layers: !(await workbench.treeTexts('Layers')).some((text) => text.includes('learning')),
    status: !(await workbench.page.locator('.statusbar').innerText()).includes('step'),
  });
  await eventually('every view', seen, (views) => Object.values(views).every(Boolean), REDRAWN_MS);
}

async function finishedRun(folder: string) {
  const run = await eventually(
    'the run is finished',
    () => newestRun(folder),
    (newest) => newest?.record.status === 'finished',
  );
  return run!;
}
