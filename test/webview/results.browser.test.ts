import assert from 'node:assert/strict';
import { makeResultRuns } from '../../scripts/fixtures/make-runs.mts';
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { browserFor, drawn, type OpenOptions, type PanelPage, THEME_NAMES } from './harness.ts';
import { resultsOf } from './states.ts';

let dirs: readonly string[];
let first: string;
let second: string;
let state: ResultsState;

const browser = browserFor(async (started) => {
  dirs = makeResultRuns(await started.runsFolder());
  [first, second] = [dirs[15]!, dirs[16]!];
  state = await resultsOf(dirs.toReversed(), [], [first]);
});
const opened = (options?: OpenOptions) => browser.show('results', state, options);

drawn('headings sort the whole table, by keys too, and focus stays', async () => {
  const panel = await opened();
  assert.equal(await panel.page.locator('tbody tr').count(), 18);
  const heading = panel.page.getByRole('button', { name: 'Sort by perplexity' });
  await heading.focus();
  await panel.page.keyboard.press('Enter');
  const ascending = await perplexities(panel);
  assert.deepEqual(
    ascending,
    ascending.toSorted((a, b) => a - b),
  );
  assert.equal(await panel.page.locator('th[aria-sort=ascending]').innerText(), 'perplexity ↑');
  await panel.page.keyboard.press('Enter');
  assert.deepEqual(await perplexities(panel), ascending.toReversed(), 'focus is still on the heading');
  assert.equal(await panel.page.locator('[aria-sort]').getAttribute('aria-sort'), 'descending');
  await panel.end();
});

drawn('the filter works while it is typed', async () => {
  const panel = await opened();
  await panel.page
    .getByRole('searchbox')
    .or(panel.page.locator('vscode-textfield input'))
    .first()
    .fill('no_had 4-4');
  await panel.settle();
  assert.equal(await panel.page.locator('tbody tr').count(), 2);
  assert.match(await panel.page.locator('main').innerText(), /2 of 18 rows/);
  await panel.page.locator('vscode-textfield input').fill('zzz');
  await panel.settle();
  assert.match(await panel.page.locator('main').innerText(), /No run matches the filter\./);
  await panel.end();
});

drawn('only what differs, and everything', async () => {
  const panel = await opened();
  const columns = () => panel.page.locator('thead th').allInnerTexts();
  const changed = await columns();
  assert.ok(changed.includes('seed') && !changed.includes('model'));
  assert.match(await panel.page.locator('.facts').innerText(), /model llama-2-7b · text wikitext2/);
  await panel.page.getByRole('checkbox', { name: 'Only what differs' }).press('Space');
  await panel.settle();
  const all = await columns();
  assert.ok(all.includes('model') && all.includes('calibration.samples'));
  await panel.end();
});

drawn('the pivot, and a copy of it in each format', async () => {
  const panel = await opened({ kept: { remembered: null, toggles: { view: 'pivot' } } });
  const head = await panel.page.locator('thead th').allInnerTexts();
  assert.deepEqual(head, ['method', '4-8-16', '4-8-8', '4-4-16', '4-4-4']);
  assert.match(
    await panel.page.locator('caption').innerText(),
    /llama-2-7b · wikitext2 · 2048 tokens × 141 windows/,
  );
  assert.match(await panel.page.locator('tbody tr').last().innerText(), /★ 5\.975 ± 0\.031/);
  const starts = { Markdown: '**llama-2-7b', LaTeX: '% llama-2-7b', CSV: 'model,modelSha256,text' };
  for (const [name, start] of Object.entries(starts)) {
    await panel.page.getByRole('button', { name, exact: true }).click();
    const copied = (await panel.intentOf('copy')) as { format: string; text: string };
    assert.equal(copied.format, name.toLowerCase());
    assert.ok(copied.text.startsWith(start), copied.text.slice(0, 40));
  }
  assert.match(await panel.page.locator('.panel-head').innerText(), /Copied 16 rows as CSV\./);
  await panel.page.getByRole('checkbox', { name: 'Difference to full precision' }).press('Space');
  await panel.settle();
  assert.equal(await panel.page.locator('.delta').count(), 0);
  await panel.end();
});

drawn('a copy of the table has its rows, order and columns', async () => {
  const panel = await opened({
    kept: {
      remembered: null,
      toggles: { filter: '4-4-4', sorting: { column: 'quantized', descending: false } },
    },
  });
  await panel.page.getByRole('button', { name: 'CSV', exact: true }).click();
  const { text } = (await panel.intentOf('copy')) as { text: string };
  const lines = text.trim().split('\r\n');
  assert.match(lines[0]!, /^run,name,label,starred,status,experiment,method,bits,text/);
  assert.deepEqual(
    lines.slice(1).map((line) => Number(/,288627,([\d.]+),/.exec(line)?.[1]).toFixed(3)),
    (await perplexities(panel))
      .map((value) => value.toFixed(value < 100 ? 3 : 1))
      .map((shown, at) =>
        // The table rounds; the copy has all digits.
        Number(shown) < 100 ? shown : Number(/,288627,([\d.]+),/.exec(lines[at + 1]!)?.[1]).toFixed(3),
      ),
  );
  await panel.page.getByRole('button', { name: 'Markdown', exact: true }).click();
  const { text: markdown } = (await panel.intentOf('copy')) as { text: string };
  assert.match(markdown, /^\| run \| perplexity \| Δ to FP \| method \| W-A-KV/);
  await panel.end();
});

drawn('two runs are selected and compared', async () => {
  const panel = await opened();
  assert.match(await panel.page.locator('.comparison-hint').innerText(), /Select two or more runs/);
  const boxes = panel.page.getByRole('checkbox', { name: /^Compare / });
  await boxes.nth(0).press('Space');
  assert.deepEqual(await panel.intentOf('select'), { type: 'select', selected: [dirs.at(-1)] });
  await panel.send(await resultsOf(dirs.toReversed(), [first, second]));
  const lines = await panel.page.locator('.drawer tbody tr').allInnerTexts();
  assert.deepEqual(lines.slice(0, 5), [
    'Settings',
    'rotation.seed\t0\t1',
    'Made with',
    'Version, kernels, device and model are the same.',
    'Outcome',
  ]);
  assert.ok(lines.includes('wikitext2, perplexity\t5.944\t5.975'));
  const drawer = (await panel.page.locator('.drawer').boundingBox())!;
  assert.ok(drawer.y > 0 && drawer.y + drawer.height <= 820, 'the drawer is in sight');
  assert.equal(await panel.page.locator('tr[aria-selected=true]').count(), 2);
  await panel.page.getByRole('button', { name: 'Clear selection' }).click();
  assert.deepEqual(await panel.intentOf('select'), { type: 'select', selected: [] });
  await panel.end();
});

drawn('stars and ways to the other panels', async () => {
  const panel = await opened();
  assert.equal(await panel.page.locator('.star[aria-pressed=true]').count(), 1);
  await panel.page.locator('.star').first().click();
  assert.deepEqual(await panel.intentOf('star'), { type: 'star', run: dirs.at(-1), starred: true });
  await panel.page
    .getByRole('button', { name: /^Open experiment: had-4-4-4/ })
    .first()
    .click();
  assert.deepEqual(await panel.intentOf('open'), { type: 'open', run: dirs.at(-1), what: 'experiment' });
  await panel.end();
});

drawn('a text that was learned on is told at its number', async () => {
  const seen = (run: (typeof state.runs)[number], index: number) =>
    index === 0 ? { ...run, texts: run.texts.map((text) => ({ ...text, seen: true })) } : run;
  const panel = await browser.show('results', { ...state, runs: state.runs.map(seen) });
  const warned = panel.page.locator('td[data-column=quantized]:has(.warns)');
  assert.equal(await warned.count(), 1);
  assert.match(await warned.innerText(), /⚠\s*measured on the text that it learned on/);
  await panel.end();
});

drawn('names of runs are text, never markup', async () => {
  const panel = await browser.open('results');
  const name = '<img src=x onerror="window.pwned=1">';
  await panel.send({ ...state, runs: state.runs.map((run) => ({ ...run, name })) });
  assert.equal(await panel.page.locator('main img').count(), 0);
  assert.equal(await panel.page.locator('tbody th').first().innerText(), name);
  await panel.end();
});

drawn('screenshots in every theme', async () => {
  for (const theme of THEME_NAMES) {
    const panel = await opened({ theme });
    await panel.send(await resultsOf(dirs.toReversed(), [first, second], [first]));
    await panel.screenshot(`results-runs-${theme}`);
    await panel.end();
    const pivot = await opened({ theme, kept: { remembered: null, toggles: { view: 'pivot' } } });
    await pivot.screenshot(`results-pivot-${theme}`);
    await pivot.end();
  }
  const empty = await browser.open('results', { height: 500 });
  await empty.send(await resultsOf([]));
  await empty.screenshot('results-empty-light');
  await empty.end();
});

async function perplexities(panel: PanelPage): Promise<number[]> {
  const cells = await panel.page.locator('td[data-column=quantized]').allInnerTexts();
  return cells.map((text) => Number(text.replace('best', '').trim()));
}
