/** Panels beside an editor are narrow: everything stays within reach. */
import assert from 'node:assert/strict';
import type { Locator } from 'playwright-core';
import { makeMatrix } from '../../scripts/fixtures/make-matrix.mts';
import { makeResultRuns, makeRoundingRun } from '../../scripts/fixtures/make-runs.mts';
import type { PanelName } from '../../src/protocol/panels/registry.ts';
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { generatedOf } from './generated.ts';
import { browserFor, drawn, type PanelPage } from './harness.ts';
import { layersOf, matrixOf, realRun, resultsOf, trainingOf } from './states.ts';

const WIDTHS = [320, 480, 800];
const PIVOT = { remembered: null, toggles: { view: 'pivot' } };

let results: ResultsState;
let matrix: ResultsState;

const browser = browserFor(async (started) => {
  const dirs = makeResultRuns(await started.runsFolder());
  results = await resultsOf(dirs.toReversed(), [dirs[15]!, dirs[16]!], [dirs[15]!]);
  const folder = await started.runsFolder();
  matrix = await resultsOf([], [], [], await matrixOf(makeMatrix(folder), folder));
});

/** Opens the panel in every width. */
async function inEveryWidth(
  bundle: PanelName,
  state: unknown,
  kept: unknown,
  look: (panel: PanelPage, width: number) => Promise<void>,
): Promise<void> {
  for (const width of WIDTHS) {
    const panel = await browser.show(bundle, state, { width, height: 700, kept });
    await look(panel, width);
    await panel.end();
  }
}

/** Nothing but a region that scrolls by itself is wider than the panel, and no control is cut. */
async function fits({ page }: PanelPage, what: string): Promise<void> {
  const width = await page.evaluate(() => document.scrollingElement!.scrollWidth);
  assert.equal(width, page.viewportSize()!.width, what);
  const controls = page.locator(
    '.panel-head :is(button, vscode-button, vscode-textfield, vscode-checkbox, vscode-single-select), .figure > header *',
  );
  // All in one call: there are hundreds.
  const boxes = await controls.evaluateAll((elements) =>
    elements.map((element) => {
      const { left, right } = element.getBoundingClientRect();
      return { left, right, text: element.outerHTML.slice(0, 80) };
    }),
  );
  assert.ok(boxes.length > 0, what);
  for (const { left, right, text } of boxes)
    assert.ok(left === right || (left >= 0 && right <= width), `${what}: ${text} from ${left} to ${right}`);
}

drawn('toolbars wrap and pages never scroll sideways', async () => {
  const states: [bundle: PanelName, state: unknown, kept: unknown][] = [
    ['results', results, null],
    ['results', results, PIVOT],
    ['results', matrix, null],
    ['training', await trainingOf(realRun(), { others: [realRun()] }), null],
    ['training', await trainingOf(makeRoundingRun(await browser.runsFolder())), null],
    ['layers', await layersOf(realRun()), null],
    ['generate', generatedOf(), null],
  ];
  for (const [bundle, state, kept] of states)
    await inEveryWidth(bundle, state, kept, (panel, width) => fits(panel, `${bundle} at ${width} px`));
});

async function scrollByKeys({ page }: PanelPage, region: Locator): Promise<boolean> {
  for (let press = 0; press < 100; press++) {
    const left = await region.evaluate(
      (element) => element.scrollWidth - element.clientWidth - element.scrollLeft,
    );
    if (left < 1) return true;
    await page.keyboard.press('ArrowRight');
    await page.waitForTimeout(20);
  }
  return false;
}

drawn('the last column is reached by scrolling, by keys too, while the first stays', async () => {
  for (const kept of [null, PIVOT])
    await inEveryWidth('results', results, kept, async (panel, width) => {
      const region = panel.page.locator('.scroll:visible').first();
      const overflows = await region.evaluate((element) => element.scrollWidth > element.clientWidth);
      if (!kept || width === WIDTHS[0]) assert.ok(overflows, `${width} px are too narrow for all columns`);
      if (!overflows) return;
      const first = region.locator('tbody .stay').first();
      // The table of runs is one stop: its cells move it. A pivot is scrolled as a whole.
      await (kept ? region : region.locator('tbody [data-focus]').first()).focus();
      assert.ok(await scrollByKeys(panel, region), 'arrow keys scroll to the end');
      const [outer, stays, last] = await Promise.all(
        [region, first, region.locator('tbody tr').first().locator('> :last-child')].map(
          async (element) => (await element.boundingBox())!,
        ),
      );
      assert.ok(Math.abs(stays!.x - outer!.x) < 1, `the first column stands at ${stays!.x}`);
      assert.ok(stays!.x + stays!.width <= width / 2, `and leaves room: it is ${stays!.width} px wide`);
      assert.ok(last!.x + last!.width <= outer!.x + outer!.width + 1, 'the last column is in view');
      const covering = await first.evaluate((element) => {
        const { left, right, top, bottom } = element.getBoundingClientRect();
        return element.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
      });
      assert.ok(covering, 'what scrolls goes under the first column');
    });
});

/** The table of a matrix with its first column alone. */
function withOneColumn({ matrix, ...state }: ResultsState): ResultsState {
  const { table } = matrix;
  assert.ok(table);
  const rows = table.rows.map((row) => ({
    ...row,
    values: row.values.slice(0, 1),
    cells: row.cells.map((cell) => ({ ...cell, values: cell.values.slice(0, 1) })),
  }));
  return { ...state, matrix: { ...matrix, table: { ...table, columns: table.columns.slice(0, 1), rows } } };
}

drawn(
  'at 400 px, a table of one column and the ways to its runs are in sight without scrolling',
  async () => {
    const panel = await browser.show('results', withOneColumn(matrix), { width: 400, height: 700 });
    await panel.page.getByRole('button', { name: /^4-4-4, SpinQuant had \+ GPTQ, wikitext2/ }).click();
    await panel.settle();
    const regions = panel.page.locator('.matrix-page .scroll');
    const overflows = await regions.evaluateAll((all) =>
      all.map((element) => element.scrollWidth - element.clientWidth),
    );
    assert.deepEqual(overflows, [0, 0]);
    const runs = panel.page.locator('#cell-runs');
    assert.equal(await runs.getByRole('row').count(), 7, 'it is a table for those who do not see it');
    assert.equal(await runs.getByRole('columnheader', { name: 'peak memory' }).count(), 1);
    for (const link of await runs.locator('.actions button').all()) {
      const box = await link.boundingBox();
      assert.ok(box && box.x >= 0 && box.x + box.width <= 400);
    }
    await panel.end();
  },
);

drawn('screenshots of narrow panels', async () => {
  await inEveryWidth('results', results, null, (panel, width) => panel.screenshot(`results-${width}`));
  await inEveryWidth('results', results, PIVOT, (panel, width) => panel.screenshot(`results-pivot-${width}`));
  const layers = await layersOf(realRun());
  await inEveryWidth('layers', layers, null, (panel, width) => panel.screenshot(`layers-${width}`));
  const training = await trainingOf(realRun());
  await inEveryWidth('training', training, null, (panel, width) => panel.screenshot(`training-${width}`));
});
