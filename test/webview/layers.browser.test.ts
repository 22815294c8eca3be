import assert from 'node:assert/strict';
import { makeDeepRun } from '../../scripts/fixtures/make-runs.mts';
import type { LayersState } from '../../src/protocol/panels/layers.ts';
import { browserFor, drawn, type OpenOptions, type PanelPage, THEME_NAMES } from './harness.ts';
import { layersOf, realRun } from './states.ts';

/** A jump to another layer must feel immediate. */
const JUMP_BUDGET_MS = 200;

const chosen = { layer: 7, site: 'down-input' } as const;
let deep: string;
let state: LayersState;

const browser = browserFor(async (started) => {
  deep = makeDeepRun(await started.runsFolder());
  state = await layersOf(deep, chosen);
});
const opened = (options?: OpenOptions) => browser.show('layers', state, options);

drawn('two histograms with different data, and the grid of each', async () => {
  const panel = await opened();
  assert.equal(await panel.page.locator('h1').innerText(), 'layer 7 · down_proj input');
  const bars = await histogramBars(panel);
  assert.deepEqual(
    bars.map(({ count }) => count),
    [state.detail!.before, state.detail!.after].map(({ counts }) => counts.filter((one) => one > 0).length),
  );
  assert.ok(bars[0]!.width > 3 * bars[1]!.width, 'rotation drew the outliers in');
  const rules = await panel.page.locator('#histogram .mark-rule.role-mark line').count();
  assert.equal(rules, 2 + 2 * 16, 'a bracket and 16 levels on each side');
  assert.match(await panel.page.locator('.panel-head .stats').innerText(), /SQNR\s+−?[\d.]+ dB → 1\d\.\d dB/);
  await panel.end();
});

drawn('keys without their mean: what is lost with it and without it', async () => {
  const { detail, ...others } = await layersOf(deep, { layer: 7, site: 'key' });
  assert.ok(detail);
  const apart = { ...others, detail: { ...detail, offset: { part: 'mean', keptSqnrDb: 11 } as const } };
  const panel = await browser.show('layers', apart, { width: 420, theme: 'dark' });
  const stats = await panel.page.locator('.panel-head .stats').innerText();
  assert.match(stats, /SQNR with the mean, without it\s+11\.0 dB → [\d.]+ dB/);
  await panel.screenshot('layers-mean-dark');
  await panel.end();
});

drawn('log counts is a switch that is kept', async () => {
  const panel = await opened();
  const before = await histogramBars(panel);
  await panel.page.getByRole('checkbox', { name: 'log counts' }).press('Space');
  await panel.settle();
  const after = await histogramBars(panel);
  assert.ok(after[0]!.area < before[0]!.area / 2, 'the tails are gone from sight');
  const kept = (await panel.kept()) as { toggles: { logCounts: boolean } };
  assert.equal(kept.toggles.logCounts, false);
  await panel.end();
});

drawn('a layer is chosen by picker, button, key, click and drag', async () => {
  const panel = await opened();
  await panel.page.getByRole('button', { name: 'Next layer' }).click();
  assert.deepEqual(await panel.intentOf('layer'), { type: 'layer', layer: 8 });
  await panel.send(await layersOf(deep, { ...chosen, layer: 8 }));
  const depth = panel.page.getByRole('slider', { name: /^SQNR over depth/ });
  await depth.focus();
  await panel.page.keyboard.press('ArrowRight');
  await panel.page.keyboard.press('ArrowRight');
  assert.deepEqual(await panel.intentOf('layer'), { type: 'layer', layer: 10 }, 'keys do not wait for data');
  await panel.page.keyboard.press('End');
  assert.deepEqual(await panel.intentOf('layer'), { type: 'layer', layer: 31 });
  await pointAtLayer(panel, 20);
  await panel.page.mouse.down();
  assert.deepEqual(await panel.intentOf('layer'), { type: 'layer', layer: 20 });
  await pointAtLayer(panel, 24);
  await panel.page.mouse.up();
  assert.deepEqual(await panel.intentOf('layer'), { type: 'layer', layer: 24 }, 'dragging goes along');
  await choose(panel, 'Layer', '3');
  assert.deepEqual(await panel.intentOf('layer'), { type: 'layer', layer: 3 });
  await choose(panel, 'Site', 'o_proj input');
  assert.deepEqual(await panel.intentOf('site'), { type: 'site', site: 'o-input' });
  await panel.end();
});

drawn('depth: 32 layers on both sides; the values of the layer under the pointer', async () => {
  const panel = await opened();
  for (const id of ['sqnr-depth', 'kurtosis-depth'])
    assert.equal(await panel.page.locator(`#${id} .mark-symbol path`).count(), 64);
  await pointAtLayer(panel, 15);
  const point = state.depth.find(({ layer, site }) => layer === 15 && site === 'down-input')!;
  const legend = await panel.page.locator('#sqnr-depth .legend').innerText();
  assert.match(legend, new RegExp(`after\\s*${point.after.sqnrDb!.toFixed(1)} dB`));
  await panel.end();
});

drawn('channel maxima: two strips of cells, by index or sorted', async () => {
  const panel = await opened();
  const cells = panel.page.locator('#channels .mark-rect.role-mark path');
  assert.equal(await cells.count(), 2 * Math.ceil(2752 / 11));
  const fills = () =>
    cells.evaluateAll((elements) => elements.map((element) => element.getAttribute('fill')));
  const byIndex = await fills();
  await panel.page.getByRole('checkbox', { name: 'sorted' }).press('Space');
  await panel.settle();
  const sorted = await fills();
  assert.notDeepEqual(sorted, byIndex);
  assert.deepEqual(sorted.toSorted(), sorted.length === byIndex.length ? (await fills()).toSorted() : []);
  await panel.page.locator('#channels .plot').hover({ position: { x: 90, y: 60 } });
  assert.match(
    await panel.page.locator('#channels .readout').innerText(),
    /^rank \d+–\d+: before [\d.]+ · after [\d.]+$/,
  );
  await panel.end();
});

drawn('every chart has a table', async () => {
  const panel = await opened();
  const toggles = panel.page.getByRole('button', { name: /^Show .* as a table$/ });
  while ((await toggles.count()) > 0) await toggles.first().click();
  const rows = async (id: string) => panel.page.locator(`#${id} tbody tr`).count();
  assert.deepEqual(
    [await rows('sqnr-depth'), await rows('kurtosis-depth'), await rows('channels')],
    [32, 32, 100],
  );
  assert.ok((await rows('histogram')) > 20);
  assert.match(
    await panel.page.locator('#sqnr-depth tbody tr').nth(7).innerText(),
    /^7\s+−?[\d.]+ dB\s+[\d.]+ dB$/,
  );
  await panel.end();
});

drawn('a heat map of layers and sites: by measure, by pointer and by key', async () => {
  const panel = await opened();
  const map = panel.page.locator('#heat-map');
  const cells = map.locator('.mark-rect.role-mark').first().locator('path');
  const measured = state.depth.filter(({ after }) => after.sqnrDb !== null);
  assert.equal(await cells.count(), measured.length);
  const fills = () => cells.evaluateAll((all) => all.map((cell) => cell.getAttribute('fill')));
  const bySqnr = await fills();
  const point = state.depth.find(({ layer, site }) => layer === 7 && site === 'down-input')!;
  assert.match(
    await map.locator('.readout').innerText(),
    new RegExp(`^layer 7 · down_proj input: SQNR after ${point.after.sqnrDb!.toFixed(1)} dB$`),
  );
  await map.locator('vscode-single-select').click();
  await map.locator('vscode-single-select .option', { hasText: 'kurtosis before' }).click();
  await panel.settle();
  assert.equal(await cells.count(), state.depth.length, 'also where nothing is quantized');
  assert.notDeepEqual(await fills(), bySqnr);
  const slider = panel.page.getByRole('slider', { name: /^Layers and sites, kurtosis before/ });
  await slider.focus();
  await panel.page.keyboard.press('ArrowUp');
  assert.deepEqual(await panel.intentOf('place'), { type: 'place', layer: 7, site: 'mlp-input' });
  const box = (await cells.nth(0).boundingBox())!;
  await panel.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  const first = state.depth[0]!;
  assert.deepEqual(await panel.intentOf('place'), { type: 'place', layer: first.layer, site: first.site });
  await map.getByRole('button', { name: 'Show Layers and sites as a table' }).click();
  assert.equal(await map.locator('tbody tr').count(), 32);
  await panel.end();
});

drawn('two runs side by side have one place and the same axes', async () => {
  const panel = await opened({ width: 1400 });
  const real = await layersOf(realRun(), chosen);
  const other = { run: real.run!, layers: real.layers, depth: real.depth, detail: real.detail };
  const labels = (id: string) => panel.page.locator(`#${id} .role-axis-label text`).allTextContents();
  await panel.send({ ...state, runs: [...state.runs, real.run!], other });
  assert.deepEqual(
    await panel.page
      .locator('.side h2[id]')
      .allInnerTexts()
      .then((all) => all.slice(0, 1)),
    [state.run!.title],
  );
  assert.equal(await panel.page.locator('#other-title').innerText(), real.run!.title);
  assert.deepEqual(await labels('histogram'), await labels('other-histogram'));
  const [left, right] = await Promise.all(
    ['#histogram', '#other-histogram'].map(async (id) => (await panel.page.locator(id).boundingBox())!),
  );
  assert.ok(left!.x + left!.width <= right!.x, 'beside each other');
  assert.ok(Math.abs(left!.y - right!.y) < 2, 'at one height');
  assert.equal(await panel.page.locator('.stats:visible').count(), 2);
  for (const theme of THEME_NAMES) {
    await panel.setTheme(theme);
    await panel.screenshot(`layers-two-${theme}`);
  }
  await panel.page.locator('.picker', { hasText: 'Beside' }).locator('vscode-single-select').click();
  await panel.page.getByRole('option', { name: 'no other run' }).click();
  assert.deepEqual(await panel.intentOf('other'), { type: 'other', run: null });
  await panel.send(state);
  assert.equal(await panel.page.locator('.side:visible').count(), 1);
  await panel.end();
});

drawn(
  'lines of the depth charts are hidden by their signs; a part of the histogram is drawn over',
  async () => {
    const panel = await opened();
    await panel.page.locator('#sqnr-depth').getByRole('button', { name: 'Show the line before' }).click();
    await panel.settle();
    for (const id of ['sqnr-depth', 'kurtosis-depth'])
      assert.equal(await panel.page.locator(`#${id} .mark-symbol path`).count(), 32);
    const labels = async () =>
      (await panel.page.locator('#histogram .role-axis-label text').allTextContents()).sort();
    const whole = await labels();
    const box = (await panel.page.locator('#histogram .plot').boundingBox())!;
    await panel.page.mouse.move(box.x + 300, box.y + 80);
    await panel.page.mouse.down();
    await panel.page.mouse.move(box.x + 400, box.y + 90, { steps: 4 });
    await panel.page.mouse.up();
    await panel.settle();
    assert.notDeepEqual(await labels(), whole);
    await panel.page.locator('#histogram .plot').dblclick({ position: { x: 300, y: 80 } });
    await panel.settle();
    assert.deepEqual(await labels(), whole);
    await panel.end();
  },
);

drawn('charts hold still under the pointer', async () => {
  const panel = await opened({ width: 480 });
  const tops = () =>
    panel.page
      .locator('.plot:visible')
      .evaluateAll((all) => all.map((plot) => plot.getBoundingClientRect().top + window.scrollY));
  const before = await tops();
  for (const id of ['histogram', 'sqnr-depth', 'heat-map', 'channels'])
    for (const x of [120, 250, 330]) {
      await panel.page.locator(`#${id} .plot`).hover({ position: { x, y: 60 } });
      assert.deepEqual(await tops(), before, id);
    }
  await panel.end();
});

drawn('a jump to another layer is immediate', async () => {
  const panel = await opened();
  const layers = Array.from({ length: 12 }, (_, layer) => layersOf(deep, { ...chosen, layer }));
  const each = await panel.timeToShow(await Promise.all(layers));
  assert.ok(each < JUMP_BUDGET_MS, `a jump took ${each.toFixed(0)} ms`);
  console.log(`    ${each.toFixed(0)} ms of processor time per jump among 32 layers`);
  await panel.end();
});

drawn('no statistics: what will be here', async () => {
  const panel = await browser.show('layers', await layersOf(null));
  await panel.screenshot('layers-empty-light');
  await panel.page.getByRole('button', { name: 'Optimize rotation' }).click();
  assert.deepEqual(await panel.intentOf('begin'), { type: 'begin', what: 'optimize' });
  const problem = { message: 'activations.json is not JSON.', hint: 'Run it again.' };
  await panel.send({ ...(await layersOf(null)), problem });
  assert.match(await panel.page.getByRole('alert').innerText(), /not JSON/);
  await panel.end();
});

drawn('screenshots in every theme', async () => {
  for (const theme of THEME_NAMES) {
    const panel = await opened({ theme });
    await panel.screenshot(`layers-deep-${theme}`);
    await panel.send(await layersOf(realRun()));
    await panel.screenshot(`layers-real-${theme}`);
    await panel.end();
  }
  const narrow = await opened({ width: 420 });
  await narrow.screenshot('layers-narrow-light');
  const fits = () => document.documentElement.scrollWidth <= window.innerWidth;
  assert.ok(await narrow.page.evaluate(fits), 'nothing is wider than the panel');
  await narrow.end();
});

interface Bars {
  readonly count: number;
  readonly width: number;
  readonly area: number;
}

/** Both histograms as drawn: number of bars, reach, and area in pixels. */
async function histogramBars(panel: PanelPage): Promise<Bars[]> {
  const groups = panel.page.locator('#histogram .mark-rect.role-mark');
  const found = await groups.evaluateAll((elements) =>
    elements.map((group) => {
      const boxes = [...group.querySelectorAll('path')].map((path) => path.getBoundingClientRect());
      if (boxes.length === 0) return { count: 0, width: 0, area: 0 };
      const left = Math.min(...boxes.map((box) => box.left));
      const right = Math.max(...boxes.map((box) => box.right));
      const area = boxes.reduce((sum, box) => sum + box.width * box.height, 0);
      return { count: boxes.length, width: right - left, area };
    }),
  );
  return found.filter(({ count }) => count > 0);
}

/** Moves the pointer over a layer of the SQNR chart: between its first and last point, layers stand evenly. */
async function pointAtLayer(panel: PanelPage, layer: number): Promise<void> {
  const ends = await panel.page.locator('#sqnr-depth .mark-symbol path').evaluateAll((points) => {
    const xs = points.map((point) => point.getBoundingClientRect()).map((box) => box.left + box.width / 2);
    return [Math.min(...xs), Math.max(...xs)] as const;
  });
  const box = (await panel.page.locator('#sqnr-depth .plot').boundingBox())!;
  await panel.page.mouse.move(ends[0] + ((ends[1] - ends[0]) * layer) / 31, box.y + box.height / 2);
}

async function choose(panel: PanelPage, label: string, option: string): Promise<void> {
  const select = panel.page.locator('.picker', { hasText: label }).locator('vscode-single-select');
  await select.click();
  await select.getByRole('option', { name: option, exact: true }).click();
}
