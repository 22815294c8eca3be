/** The table of a matrix and its pictures, in a browser. */
import assert from 'node:assert/strict';
import { makeMatrix } from '../../scripts/fixtures/make-matrix.mts';
import type { MatrixPart } from '../../src/protocol/panels/matrix.ts';
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { browserFor, drawn, type OpenOptions, type PanelPage, THEME_NAMES } from './harness.ts';
import { matrixOf, resultsOf } from './states.ts';

const PROGRESS = 'cell 52 of 53: 4-4-4 SpinQuant had + GPTQ · window 3/141';

let file: string;
let matrix: MatrixPart;
let state: ResultsState;

const browser = browserFor(async (started) => {
  const folder = await started.runsFolder();
  file = makeMatrix(folder);
  matrix = await matrixOf(file, folder, { progress: PROGRESS });
  state = await resultsOf([], [], [], matrix);
});
const opened = (options?: OpenOptions) => browser.show('results', state, options);
const cell = ({ page }: PanelPage, name: RegExp) => page.getByRole('button', { name });

drawn('a number leads to its run, by keys too, and the runs of all seeds are listed', async () => {
  const panel = await opened();
  assert.match(await panel.page.locator('.matrix-page').innerText(), /49 of 53 cells done · cell 52 of 53/);
  const rtn = cell(panel, /^4-4-4, RTN, wikitext2/);
  await rtn.focus();
  await panel.page.keyboard.press('Enter');
  const open = (await panel.intentOf('open')) as { run: string; what: string };
  assert.match(open.run, /table-4-4-4-rtn-s0$/);
  assert.equal(open.what, 'training');
  assert.equal(await rtn.getAttribute('aria-expanded'), 'true');
  assert.equal(await rtn.evaluate((element) => element === document.activeElement), true, 'focus stays');
  await cell(panel, /^4-4-4, SpinQuant had \+ GPTQ, wikitext2.*best$/).click();
  const seeds = panel.page.locator('#cell-runs tbody tr');
  assert.equal(await seeds.count(), 6);
  assert.match(await seeds.nth(0).innerText(), /21\.0 GiB/);
  assert.match(await seeds.nth(3).innerText(), /^3\s+running/);
  assert.match(await seeds.nth(5).innerText(), /^5\s+not computed yet/);
  await panel.page.getByRole('button', { name: 'Settings of seed 1' }).click();
  const settings = (await panel.intentOf('open')) as { run: string; what: string };
  assert.match(`${settings.run} ${settings.what}`, /spinquant-had-gptq-s1 settings$/);
  await panel.page.getByRole('button', { name: 'Close' }).click();
  assert.equal(await seeds.count(), 0);
  await panel.end();
});

drawn('the table changes in place while it fills, and can be copied in every format', async () => {
  const panel = await opened();
  assert.equal(await panel.page.locator('table.matrix tbody th.block').count(), 3);
  assert.equal(await panel.page.locator('table.matrix strong').count(), 2);
  await cell(panel, /^4-8-16, GPTQ, wikitext2.*failed$/).focus();
  const table = matrix.table!;
  const cells = table.rows.map((row) => ({
    ...row,
    values: row.values.map((value) => value ?? { mean: 6.4, deviation: null, n: 1, best: false }),
  }));
  await panel.send({ ...state, matrix: { ...matrix, table: { ...table, rows: cells }, progress: null } });
  assert.equal(await panel.page.evaluate(() => document.activeElement?.textContent), '6.400', 'focus stays');
  assert.ok(await panel.page.getByText('Fill table', { exact: true }).isVisible());
  for (const [name, format] of Object.entries({
    Markdown: 'markdown',
    LaTeX: 'latex',
    CSV: 'csv',
    JSON: 'json',
  })) {
    await panel.page.getByRole('button', { name, exact: true }).click();
    assert.deepEqual(await panel.intentOf('copy-table'), { type: 'copy-table', format, published: false });
  }
  await panel.end();
});

drawn('each picture is saved as SVG, PNG and Vega-Lite, and is a table behind its button', async () => {
  const panel = await opened();
  const figures = panel.page.locator('.pictures .figure:visible');
  assert.equal(await figures.count(), 9);
  assert.match(
    (await figures.first().locator('.plot').getAttribute('aria-label')) ?? '',
    /^Spread over seeds\. /,
  );
  const saved = async (title: string, format: string) => {
    await panel.page.getByRole('button', { name: `Save ${title} as ${format}`, exact: true }).click();
    for (let attempt = 0; attempt < 100; attempt++) {
      const picture = (await panel.intentOf('save-picture')) as {
        format: string;
        name: string;
        content: string;
      };
      if (picture.format === format.toLowerCase()) return picture;
      await panel.page.waitForTimeout(25);
    }
    throw new Error(`No ${format} was saved.`);
  };
  const svg = await saved('Spread over seeds', 'SVG');
  for (const part of [/^<svg /, />Spread over seeds</, />Random rotation \+ RTN</, /<\/svg>$/])
    assert.ok(part.test(svg.content), `${part} in the SVG`);
  const png = Buffer.from((await saved('Activation kurtosis over depth', 'PNG')).content, 'base64');
  assert.equal(png.subarray(1, 4).toString(), 'PNG');
  assert.ok(png.readUInt32BE(16) >= 1280, 'two points for each of its width');
  const spec = JSON.parse((await saved('Quality by bits', 'Vega-Lite')).content) as { datasets: object };
  assert.deepEqual(Object.keys(spec.datasets), ['points', 'bars', 'pieces', 'far', 'full']);
  await figures.first().getByRole('button', { name: 'Show Spread over seeds as a table' }).click();
  await panel.settle();
  assert.equal(await figures.first().locator('table.twin tbody tr').count(), 4);
  assert.match(
    await figures.first().locator('caption').innerText(),
    /^Spread over seeds · perplexity · wikitext2/,
  );
  await panel.end();
});

drawn('published values stand beside the measured ones, by keys too, and doubtful ones say why', async () => {
  const panel = await opened();
  const { page } = panel;
  const heads = page.locator('table.matrix thead th');
  const before = await heads.count();
  const box = page.getByRole('checkbox', { name: 'Published values' });
  assert.equal(await box.isChecked(), false);
  await box.focus();
  await page.keyboard.press('Space');
  await panel.settle();
  assert.equal(await box.isChecked(), true);
  assert.equal(await box.evaluate((element) => element.matches(':focus')), true, 'focus stays');
  assert.equal(await heads.count(), before + 2);
  assert.match((await heads.allInnerTexts()).join(' | '), /published accuracy \| published perplexity/);
  const row = page.locator('table.matrix tbody tr', { has: page.getByText('GPTQ', { exact: true }) }).first();
  const cells = await row.locator('td.published').allTextContents();
  assert.equal(cells[0], '64.9');
  assert.match(cells[1] ?? '', /^20\.2 \(\?\), doubtful: Far above RTN/);
  assert.match(await page.locator('.matrix-box').innerText(), /About the published values/);
  await page.getByRole('button', { name: 'CSV', exact: true }).click();
  assert.deepEqual(await panel.intentOf('copy-table'), {
    type: 'copy-table',
    format: 'csv',
    published: true,
  });
  const { table } = matrix;
  await panel.send({ ...state, matrix: { ...matrix, table: { ...table!, published: null } } });
  assert.equal(await box.isVisible(), false, 'nothing is published for this model');
  assert.equal(await heads.count(), before);
  await panel.end();
});

drawn('the page turns to a table that is asked for once', async () => {
  const asked = { ...state, remembered: { ...state.remembered, table: file } };
  const kept = { remembered: null, toggles: { view: 'runs', answeredAt: 5 } };
  const runs = { ...asked, runs: [] };
  const panel = await browser.show('results', { ...runs, matrix: { ...matrix, askedAt: 7 } }, { kept });
  assert.equal(await panel.page.locator('table.matrix').count(), 1);
  const { toggles } = (await panel.kept()) as { toggles: { view: string; answeredAt: number } };
  assert.deepEqual([toggles.view, toggles.answeredAt], ['matrix', 7]);
  await panel.end();
});

drawn('screenshots of the table and its pictures in every theme', async () => {
  for (const theme of THEME_NAMES) {
    const panel = await opened({ theme, width: 1000 });
    await panel.page.getByRole('checkbox', { name: 'Published values' }).press('Space');
    await panel.settle();
    await panel.screenshot(`results-matrix-${theme}`);
    await panel.end();
  }
});
