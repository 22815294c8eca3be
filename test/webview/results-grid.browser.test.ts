/** The table of runs with 200 of them: by keys, by what is chosen of it, and in what time. */
import assert from 'node:assert/strict';
import { makeManyRuns } from '../../scripts/fixtures/make-many-runs.mts';
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { openRun } from '../../src/runs/index.ts';
import { browserFor, drawn, type OpenOptions, type PanelPage } from './harness.ts';
import { resultsOf } from './states.ts';

let dirs: readonly string[];
let state: ResultsState;

const browser = browserFor(async (started) => {
  const all = makeManyRuns(await started.runsFolder());
  const measured: string[] = [];
  for (const dir of all) if ((await openRun(dir)).record.status === 'finished') measured.push(dir);
  dirs = measured.toReversed();
  state = await resultsOf(dirs);
});
async function opened(options?: OpenOptions): Promise<PanelPage> {
  const panel = await browser.show('results', state, options);
  await allRows(panel);
  return panel;
}
/** Rows out of sight come in the moments after the others. */
const allRows = ({ page }: PanelPage) => page.locator('table.flat:not([aria-busy])').waitFor();
const focused = ({ page }: PanelPage) =>
  page.evaluate(() => {
    const cell = document.activeElement?.closest<HTMLTableCellElement>('td, th');
    return cell ? [cell.closest('tr')!.rowIndex, cell.cellIndex] : null;
  });

drawn('the table is one tab stop, and arrow keys move in it', async () => {
  const panel = await opened({ width: 700 });
  const { page } = panel;
  assert.equal(await page.locator('table.flat [tabindex="0"]').count(), 1);
  await page.getByRole('button', { name: 'Sort by run' }).focus();
  const moves: [key: string, at: [number, number]][] = [
    ['ArrowDown', [1, 2]],
    ['ArrowDown', [2, 2]],
    ['ArrowRight', [2, 3]],
    ['Home', [2, 0]],
    ['PageDown', [12, 0]],
    ['Control+End', [189, (await page.locator('thead th').count()) - 1]],
    ['Control+Home', [0, 2]],
  ];
  for (const [key, at] of moves) {
    await page.keyboard.press(key);
    assert.deepEqual(await focused(panel), at, key);
  }
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.closest('table.flat') === null), true);
  assert.equal(await page.locator('table.flat [tabindex="0"]').count(), 1);
  await panel.end();
});

drawn('keys act on the run of the row', async () => {
  const panel = await opened();
  const { page } = panel;
  const run = dirs[1]!;
  await page.locator('tbody tr').nth(1).locator('td[data-column=quantized]').click();
  await page.locator('tbody tr').nth(1).locator('.run-name').focus();
  await page.keyboard.press('Space');
  assert.deepEqual(await panel.intentOf('select'), { type: 'select', selected: [run] });
  assert.ok(
    (await panel.intents()).every(({ type }) => type !== 'open'),
    'it opens by Enter alone',
  );
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  assert.deepEqual(await panel.intentOf('open'), { type: 'open', run, what: 'run' });
  await page.keyboard.press('F2');
  assert.deepEqual(await panel.intentOf('command'), { type: 'command', run, command: 'rename' });
  await page.keyboard.press('Delete');
  assert.deepEqual(await panel.intentOf('command'), { type: 'command', run, command: 'delete' });
  await panel.end();
});

drawn('a click on the name of a run opens it; its menu knows which run it is of', async () => {
  const panel = await opened();
  await panel.page.locator('.run-name').nth(3).click();
  assert.deepEqual(await panel.intentOf('open'), { type: 'open', run: dirs[3], what: 'run' });
  const context = await panel.page.locator('tbody tr').nth(3).getAttribute('data-vscode-context');
  assert.deepEqual(JSON.parse(context!), {
    webviewSection: 'run',
    runDir: dirs[3],
    starred: false,
    preventDefaultContextMenuItems: true,
  });
  await panel.end();
});

drawn('focus stays on its cell when the table is sorted, and when a run comes', async () => {
  const panel = await opened();
  const { page } = panel;
  await page.locator('.run-name').nth(2).focus();
  await page.keyboard.press('ArrowRight');
  const nameOf = () =>
    page.evaluate(() => document.activeElement?.closest('tr')?.querySelector('.run-name')?.textContent);
  const name = await nameOf();
  await panel.send({ ...state, runs: state.runs.slice(1) });
  assert.equal(await nameOf(), name);
  assert.deepEqual(await focused(panel), [2, 3]);
  await panel.end();
});

drawn('at 400 px the perplexity is in sight, and headings stay while rows scroll', async () => {
  const panel = await opened({ width: 400, height: 700 });
  const { page } = panel;
  const cell = (await page.locator('td[data-column=quantized]').first().boundingBox())!;
  assert.ok(cell.x >= 0 && cell.x + cell.width <= 400, JSON.stringify(cell));
  const heading = page.getByRole('button', { name: 'Sort by perplexity' });
  const before = (await heading.boundingBox())!;
  await page.locator('.scroll.fills').evaluate((element) => element.scrollTo(0, 3000));
  await panel.settle();
  assert.deepEqual(await heading.boundingBox(), before);
  await panel.end();
});

drawn('what the pointer is on does not move, and ways to other panels come with it', async () => {
  const panel = await opened({ width: 1400 });
  const row = panel.page.locator('tbody tr').nth(5);
  const boxes = () =>
    row
      .locator('td, th')
      .evaluateAll((cells) => cells.map((cell) => JSON.stringify(cell.getBoundingClientRect())));
  const before = await boxes();
  const actions = row.locator('.row-actions');
  assert.equal(await actions.evaluate((element) => getComputedStyle(element).opacity), '0');
  await row.locator('td[data-column=delta]').hover();
  assert.equal(await actions.evaluate((element) => getComputedStyle(element).opacity), '1');
  assert.deepEqual(await boxes(), before);
  await panel.end();
});

drawn('ages go on while nothing else happens', async () => {
  const runs = state.runs.slice(0, 3).map((run) => ({ ...run, startedAt: new Date().toISOString() }));
  const panel = await browser.show('results', { ...state, runs }, { watch: (page) => page.clock.install() });
  const age = panel.page.locator('td[data-column=age]').first();
  assert.equal(await age.innerText(), 'this minute');
  await panel.page.clock.fastForward('05:00');
  await panel.settle();
  assert.equal(await age.innerText(), '5 min. ago');
  await panel.end();
});

drawn('columns are chosen, and rows grouped by experiment', async () => {
  const panel = await opened({ width: 1400 });
  const { page } = panel;
  await page.locator('summary').click();
  await page.getByRole('checkbox', { name: 'status' }).press('Space');
  await page.getByRole('checkbox', { name: 'Δ to FP' }).press('Space');
  await page.keyboard.press('Escape');
  const heads = await page.locator('thead th').allInnerTexts();
  assert.ok(heads.includes('status') && !heads.includes('Δ to FP'));
  await page.getByRole('checkbox', { name: 'By experiment' }).press('Space');
  await allRows(panel);
  assert.equal(await page.locator('tr.group').count(), 15);
  const rows = await page.locator('tbody tr').count();
  await page.getByRole('button', { name: /^quarot · 20 rows/ }).click();
  await panel.settle();
  await allRows(panel);
  assert.equal(await page.locator('tbody tr').count(), rows - 20);
  await panel.end();
});

drawn('a condition that no row can fulfil is told', async () => {
  const panel = await opened();
  await panel.page.locator('vscode-textfield input').fill('ppl<low');
  await panel.settle();
  assert.match(await panel.page.locator('.count').innerText(), /No number to compare with: ppl<low/);
  await panel.page.locator('vscode-textfield input').fill('seed=1 ppl<7 bits:4-4-4');
  await panel.settle();
  assert.match(await panel.page.locator('.count').innerText(), /^\d+ of 189 rows$/);
  await panel.end();
});

drawn('more than two runs are compared in a drawer that is in sight', async () => {
  for (const width of [400, 1400]) {
    const panel = await browser.show('results', await resultsOf(dirs, dirs.slice(0, 5)), {
      width,
      height: 700,
    });
    assert.equal(await panel.page.locator('.drawer thead th').count(), 6);
    const drawer = (await panel.page.locator('.drawer').boundingBox())!;
    assert.ok(drawer.y > 100 && drawer.y + drawer.height <= 700, JSON.stringify(drawer));
    await panel.end();
  }
});

drawn('columns keep their places while rows are sorted and filtered', async () => {
  const panel = await opened({ width: 1400 });
  const { page } = panel;
  const widths = () =>
    page
      .locator('thead th')
      .evaluateAll((cells) => cells.map((cell) => Math.round(cell.getBoundingClientRect().left)));
  const before = await widths();
  for (const turn of [1, 2, 3]) {
    await page.getByRole('button', { name: 'Sort by perplexity' }).click();
    await allRows(panel);
    const after = await widths();
    // The arrow of the heading is all that is new.
    if (turn > 1) assert.deepEqual(after, before);
    before.splice(0, before.length, ...after);
  }
  await page.locator('vscode-textfield input').fill('rtn bits:4-4-4');
  await panel.settle();
  assert.deepEqual((await widths()).slice(0, 4), before.slice(0, 4));
  await panel.end();
});

drawn('rows that are in sight are drawn at once, all others soon after, in their order', async () => {
  const panel = await opened();
  const { page } = panel;
  const drawn = await page.evaluate(() => {
    document.querySelector<HTMLElement>('[data-sort=quantized]')?.click();
    return document.querySelectorAll('tbody tr').length;
  });
  assert.ok(drawn >= 40 && drawn < 189, String(drawn));
  await allRows(panel);
  const texts = await page.locator('td[data-column=quantized]').allInnerTexts();
  const values = texts.map((text) => Number(text.replace('best', '').trim()));
  assert.equal(values.length, 189);
  assert.deepEqual(
    values,
    values.toSorted((a, b) => a - b),
  );
  await panel.end();
});
