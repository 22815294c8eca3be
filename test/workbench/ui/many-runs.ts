/** Months of runs in the workspace: found, opened, renamed, compared and copied from the results panel. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Frame } from 'playwright-core';
import { makeManyRuns } from '../../../scripts/fixtures/make-many-runs.mts';
import { screenshot } from '../rig/rig.ts';
import { eventually } from './eventually.ts';
import { screenshotInEveryTheme } from './screenshots.ts';
import type { Session } from './session.ts';

/** A recorded folder of 200 runs comes in beside what is there. */
export async function findAmongMany({ folder, workbench }: Session): Promise<void> {
  makeManyRuns(join(folder, '.spinquant', 'runs'));
  await workbench.command('SpinQuant: Refresh Runs');
  await workbench.command('SpinQuant: Show Results');
  const results = await workbench.webview(/^Results/);
  await results.locator('vscode-single-select').first().waitFor();
  await eventually(
    'all runs',
    () => countOf(results),
    (text) => /of (189|19\d) rows/.test(text),
  );
  await results.locator('vscode-textfield input').fill('seed=1 ppl<7 bits:4-4-4 method:spinquant');
  await eventually(
    'those that were looked for',
    () => countOf(results),
    (text) => /^[1-9] of/.test(text),
  );
  await results.getByRole('button', { name: 'Sort by perplexity' }).click();
}

const countOf = (results: Frame): Promise<string> => results.locator('.count').innerText();

/** Keys act on the run of the row: F2 asks for a name, which the row then has. */
export async function renameByKey({ workbench }: Session): Promise<void> {
  const results = await workbench.panel(/^Results/);
  await results.locator('.run-name').first().focus();
  await workbench.page.keyboard.press('F2');
  const input = workbench.page.locator('.quick-input-widget input').first();
  await input.fill('the best of all');
  await workbench.page.keyboard.press('Enter');
  await results.getByRole('button', { name: 'the best of all', exact: true }).waitFor();
}

/** The menu of a row has what a run is used for. */
export async function useMenu({ folder, workbench }: Session): Promise<void> {
  const { page } = workbench;
  const results = await workbench.panel(/^Results/);
  const item = (name: string) => page.locator('.monaco-menu .action-label', { hasText: name }).first();
  await results.locator('.run-name').first().click({ button: 'right' });
  await item('Duplicate as Experiment').waitFor();
  await screenshot(page, 'results-menu');
  await item('Duplicate as Experiment').click();
  const copy = 'spinquant-copy.spinquant.json';
  await page
    .getByRole('tab', { name: new RegExp(copy) })
    .first()
    .waitFor();
  assert.ok(existsSync(join(folder, copy)));
  const written = JSON.parse(readFileSync(join(folder, copy), 'utf8')) as { rotation?: { seed?: number } };
  assert.equal(written.rotation?.seed, 1, 'it has the settings of the run');
  await workbench.panel(/^Results/);
  const row = results.locator('tbody tr').first();
  const { runDir } = JSON.parse((await row.getAttribute('data-vscode-context'))!) as { runDir: string };
  await row.locator('.run-name').click({ button: 'right' });
  await item('Copy Path').click();
  await eventually(
    'the path of the run',
    () => page.evaluate<string>('navigator.clipboard.readText()'),
    (text) => text === runDir,
  );
  await row.locator('.run-name').click({ button: 'right' });
  await item('Star Run').click();
  await results.locator('tbody tr').first().locator('.star[aria-pressed=true]').waitFor();
}

/** Several runs are chosen by keys and compared in sight; the name of a run leads to its curves. */
export async function compareAndOpen({ workbench }: Session): Promise<void> {
  const { page } = workbench;
  const results = await workbench.panel(/^Results/);
  await results.locator('vscode-textfield input').fill('bits:4-4-4 gptq -rotations:spinquant');
  await results.locator('.run-name').first().focus();
  await page.keyboard.press('ArrowRight');
  for (let row = 0; row < 3; row++) {
    await page.keyboard.press('Space');
    await eventually(
      `${row + 1} runs are selected`,
      () => results.locator('tr.selected').count(),
      (count) => count === row + 1,
    );
    await page.keyboard.press('ArrowDown');
  }
  const drawer = results.locator('.drawer');
  await drawer.waitFor();
  assert.match(await drawer.innerText(), /What differs between 3 runs/);
  await screenshotInEveryTheme(workbench, 'results-many');
  const shown = await workbench.panel(/^Results/);
  const name = await shown.locator('.run-name').first().innerText();
  await shown.locator('.run-name').first().click();
  const training = await workbench.webview(/^Training/);
  await eventually(
    `the curves of ${basename(name)}`,
    () => training.locator('main').innerText(),
    (text) => text.includes(name),
  );
  await shown.getByRole('button', { name: 'Clear selection' }).click();
}
