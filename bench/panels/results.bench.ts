/**
 * How long does the results panel take with 200 runs: to read them, to be painted, to be sorted and filtered?
 *
 * The host reads a recorded folder of 200 runs, 189 of them with results. The page is the panel's own, alone in headless
 * Chromium under the editor's policy. A time ends when the second frame after the action is due: all of it is drawn.
 *
 * Usage: node --import tsx bench/panels/results.bench.ts
 */
import { makeManyRuns } from '../../scripts/fixtures/make-many-runs.mts';
import { openRun } from '../../src/runs/index.ts';
import { resultsOf } from '../../test/webview/states.ts';
import { hostTime, pageTime, paintTime, record, SIZE, several } from './measure.ts';

await record('results-panel', { runs: 200 }, async (browser) => {
  const dirs = makeManyRuns(await browser.runsFolder());
  const measured: string[] = [];
  for (const dir of dirs) if ((await openRun(dir)).record.status === 'finished') measured.push(dir);
  const state = await resultsOf(measured.toReversed());
  const rows = [
    await several('read 200 runs, nothing known', 1000, () => hostTime(() => resultsOf(measured))),
    await several('start the page and paint it', 1000, () => paintTime(browser, 'results', state)),
  ];
  const panel = await browser.show('results', state, SIZE);
  const filters = ['gptq', '', 'seed=1 ppl<7', ''];
  let turn = 0;
  rows.push(
    await several('sort by perplexity', 100, () => pageTime(panel, '[data-sort=quantized]', null)),
    await several('sort by method', 100, () => pageTime(panel, '[data-sort=method]', null)),
    await several('filter, and all rows again', 100, () =>
      pageTime(panel, 'vscode-textfield', filters[turn++ % filters.length] ?? ''),
    ),
  );
  await panel.end();
  return rows;
});
