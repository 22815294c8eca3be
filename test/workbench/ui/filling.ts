import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXPERIMENT } from '../rig/experiment.ts';
import { eventually } from './eventually.ts';
import { cells } from './panels.ts';
import { screenshotInEveryTheme } from './screenshots.ts';
import type { Session } from './session.ts';

const FILE = 'table.spinquant.json';
const MATRIX = { bits: ['4-8-16', '4-4-4'], methods: ['rtn', 'hadamard-had-rtn'], seeds: [0, 1, 2] };
const MEASURED = /^\d+\.\d{1,3}/;

/** The lens fills a matrix, the results panel turns to its table, and a number there leads to its run. */
export async function fillTable({ folder, workbench }: Session): Promise<void> {
  const lab = JSON.parse(readFileSync(join(folder, EXPERIMENT), 'utf8')) as object;
  // First in the file, so that its lens is in sight.
  writeFileSync(join(folder, FILE), JSON.stringify({ matrix: MATRIX, ...lab }, null, 2));
  await workbench.openFile(FILE);
  await workbench.lens('Fill table (0 of 9 cells done)').click();
  const results = await workbench.webview(/^Results/);
  await workbench.notification('the table is filled').waitFor({ timeout: 120_000 });
  await workbench.lens('Fill table (9 of 9 cells done)').waitFor({ timeout: 30_000 });
  const rows = await eventually(
    'a number in every row',
    () => cells(results.locator('table.matrix tbody tr:has(td)')),
    (found) => found.length === 5 && found.every(([, value]) => MEASURED.test(value ?? '')),
  );
  assert.match(rows[4]![1]!, /^\d+\.\d+ ± \d+\.\d+n = 3$/);
  await workbench.command('Notifications: Clear All Notifications');
  await screenshotInEveryTheme(workbench, 'table');
  await results.getByRole('button', { name: /^4-4-4, RTN, stories/ }).click();
  await workbench.panel(/^Training/);
}
