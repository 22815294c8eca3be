/** Months of runs in the workspace: found, opened, renamed, compared and copied from the results panel. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Frame, Locator, Page } from 'playwright-core';
import { makeManyRuns } from '../../../scripts/fixtures/make-many-runs.mts';
import { screenshot } from '../rig/rig.ts';
import type { Workbench } from '../rig/workbench.ts';
import { chooseOption } from './choose-option.ts';
import { eventually } from './eventually.ts';
import { screenshotInEveryTheme } from './screenshots.ts';
import type { Session } from './session.ts';

/** Runs of the recorded folder that have results. */
const RECORDED = 189;

/** A recorded folder of 200 runs comes in beside what is there, whose perplexities are below 3. */
export async function findAmongMany({ folder, workbench }: Session): Promise<void> {
  makeManyRuns(join(folder, '.spinquant', 'runs'));
  await workbench.command('SpinQuant: Refresh Runs');
  await workbench.command('SpinQuant: Show Results');
  const results = await workbench.webview(/^Results/);
  await chooseOption(results, 'View', 'Runs');
  await eventually(
    'all runs',
    () => countOf(results),
    (text) => Number(/of (\d+) rows/.exec(text)?.[1]) >= RECORDED,
  );
  await results.locator('vscode-textfield input').fill('seed=1 ppl<7 ppl>3 bits:4-4-4 method:spinquant');
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
  const tab = page.getByRole('tab', { name: /spinquant.*-copy\.spinquant\.json/ }).first();
  await tab.waitFor();
  // A tab breaks the line before the ending.
  const copy = /spinquant\S*-copy\.spinquant\.json/.exec((await tab.innerText()).replace(/\s/g, ''))?.[0];
  assert.ok(copy && existsSync(join(folder, copy)), await tab.innerText());
  const written = JSON.parse(readFileSync(join(folder, copy), 'utf8')) as { rotation?: { seed?: number } };
  assert.equal(written.rotation?.seed, 1, 'it has the settings of the run');
  const again = await shownAgain(workbench);
  const row = again.locator('tbody tr').first();
  const { runDir } = JSON.parse((await row.getAttribute('data-vscode-context'))!) as { runDir: string };
  await choose(page, row.locator('.run-name'), 'Copy Path');
  // The page may read the clipboard only while it has the focus, not a panel in it.
  await page.locator('.monaco-workbench .statusbar').click();
  await eventually(
    'the path of the run',
    () => page.evaluate<string>('navigator.clipboard.readText()'),
    (text) => text === runDir,
    20_000,
  );
  await choose(page, row.locator('.run-name'), 'Star Run');
  await again.locator('tbody tr').first().locator('.star[aria-pressed=true]').waitFor();
  await workbench.openContainer('SpinQuant Lab');
  await choose(page, workbench.treeItem('Runs', /^the best of all/), 'Remove Star');
  await again.locator('tbody tr').first().locator('.star[aria-pressed=false]').waitFor();
}

/** The editor finds words in the panel, as it does in a file. */
export async function findWords({ workbench }: Session): Promise<void> {
  const { page } = workbench;
  const results = await shownAgain(workbench);
  await results.locator('.count').click();
  await page.keyboard.press('Control+F');
  const find = page.locator('.simple-find-part.visible');
  await find.locator('input').fill('the best of all');
  await find.waitFor();
  await page.keyboard.press('Escape');
  await find.waitFor({ state: 'detached' });
}

/** A menu that has just opened takes no click for a moment. */
async function choose(page: Page, place: Locator, name: string): Promise<void> {
  await place.click({ button: 'right' });
  const item = page.locator('.monaco-menu .action-label', { hasText: name }).first();
  await item.waitFor();
  await page.waitForTimeout(500);
  await item.click();
  await item.waitFor({ state: 'detached' });
}

/** A panel that was hidden is loaded again: its document is another one. */
async function shownAgain(workbench: Workbench): Promise<Frame> {
  await workbench.showTab(/^Results/);
  const rowsOf = async (frame: Frame) =>
    frame
      .locator('.run-name')
      .count()
      .catch(() => 0);
  await eventually(
    'the rows again',
    async () => rowsOf(await workbench.webview(/^Results/)),
    (rows) => rows > 0,
  );
  return workbench.webview(/^Results/);
}

/** Several runs are chosen by keys and compared in sight; the name of a run leads to its curves. */
export async function compareAndOpen({ workbench }: Session): Promise<void> {
  const { page } = workbench;
  const results = await shownAgain(workbench);
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
}
