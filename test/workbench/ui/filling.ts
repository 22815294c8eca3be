import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXPERIMENT } from '../rig/experiment.ts';
import { screenshot } from '../rig/rig.ts';
import { eventually } from './eventually.ts';
import { cells } from './panels.ts';
import { newestRun } from './run-files.ts';
import { screenshotInEveryTheme } from './screenshots.ts';
import type { Session } from './session.ts';

const FILE = 'table.spinquant.json';
const MATRIX = { bits: ['4-8-16', '4-4-4'], methods: ['rtn', 'hadamard-had-rtn'], seeds: [0, 1, 2] };
const MEASURED = /^\d+\.\d{1,3}/;
/** How far the table is, then what is at work, and in which cell. */
const PROGRESS = /table: [0-8] of 9 cells( · .+)? · (16-16-16|4-8-16|4-4-4)( · seed \d)?$/m;

/** The palette asks for a table, the model and two texts, and writes the file. */
export async function newTable({ folder, workbench }: Session): Promise<void> {
  await workbench.command('SpinQuant: New Table');
  for (const answer of ['Quick look', /^model/, /^calibration\.txt/, /^test\.txt/])
    await workbench.pick(answer);
  await workbench.lens('Fill table (0 of 9 cells done)').waitFor();
  const { model, matrix } = JSON.parse(readFileSync(join(folder, FILE), 'utf8')) as {
    readonly model: string;
    readonly matrix: typeof MATRIX;
  };
  assert.deepEqual([model, matrix.bits], ['model', MATRIX.bits]);
}

/** A window that closes while a table fills is not the end of it: the next one tells, and goes on when it is asked. */
export async function fillTable({ folder, rig, workbench }: Session): Promise<void> {
  const lab = JSON.parse(readFileSync(join(folder, EXPERIMENT), 'utf8')) as object;
  // First in the file, so that its lens is in sight.
  writeFileSync(join(folder, FILE), JSON.stringify({ matrix: MATRIX, ...lab }, null, 2));
  await workbench.openFile(FILE);
  await workbench.lens('Fill table (0 of 9 cells done)').click();
  const status = () => workbench.page.locator('.statusbar').innerText();
  const { run } = await eventually(
    'a cell at work, and its progress',
    async () => ({ text: await status(), run: await newestRun(folder) }),
    ({ text, run }) =>
      PROGRESS.test(text) && run !== null && run.record.cell !== null && run.record.status === 'running',
  );
  // No machine is to fill the table while the window is loaded again: its worker is killed as one that does not answer.
  process.kill(run!.record.process.pid, 'SIGSTOP');
  await workbench.webview(/^Results/);
  await screenshot(rig.page, 'filling-light');
  await workbench.reload();
  const message = workbench.notification('its table was being filled when the window was closed');
  await message.waitFor({ timeout: 120_000 });
  assert.match(await message.innerText(), /[0-8] of 9 cells are done/);
  assert.doesNotMatch(await status(), /cells/, 'nothing was started unasked');
  await screenshot(rig.page, 'left-light');
  await message.getByRole('button', { name: 'Resume' }).click();
  await workbench.notification('the table is filled').waitFor({ timeout: 120_000 });
}

/** The table shows a number in every row, and a number there leads to its run. */
export async function readTable({ workbench }: Session): Promise<void> {
  // A window that is loaded again soon after a file was opened may have forgotten its tab.
  await workbench.openFile(FILE);
  await workbench.lens('Fill table (9 of 9 cells done)').waitFor({ timeout: 30_000 });
  const results = await workbench.panel(/^Results/);
  const rows = await eventually(
    'a number in every row',
    () => cells(results.locator('table.matrix tbody tr:has(td)')),
    (found) => found.length === 5 && found.every(([, value]) => MEASURED.test(value ?? '')),
  );
  assert.match(rows[4]![1]!, /^\d+\.\d+ ± \d+\.\d{3} ?3 seeds$/);
  await workbench.command('Notifications: Clear All Notifications');
  await screenshotInEveryTheme(workbench, 'table');
  await results.getByRole('button', { name: /^4-4-4, RTN, stories/ }).click();
  await workbench.panel(/^Training · RTN · 4-4-4/);
}
