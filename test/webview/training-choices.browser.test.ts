/** What a person does with the curves: adds runs, hides, zooms, pins, saves. */
import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';
import { makeRunningRun, makeSeedRuns } from '../../scripts/fixtures/make-runs.mts';
import { eventually } from '../workbench/ui/eventually.ts';
import { browserFor, drawn, type OpenOptions } from './harness.ts';
import { lineSegments, texts } from './lines.ts';
import { realRun, trainingOf } from './states.ts';

let running: string;
let seeds: readonly string[];

const browser = browserFor(async (started) => {
  const folder = await started.runsFolder();
  running = makeRunningRun(folder);
  seeds = makeSeedRuns(folder);
});

const opened = (options: OpenOptions = {}) => browser.open('training', options);

drawn('runs are added by a search, taken away by their chips, and hidden by a click on one', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(running, { others: seeds }));
  assert.equal(await panel.page.locator('.chip:visible').count(), 1, 'no wall of boxes');
  await panel.page.getByRole('button', { name: 'Add run …' }).click();
  assert.deepEqual(await panel.intentOf('add'), { type: 'add' });
  await panel.send(await trainingOf(running, { overlays: seeds.slice(0, 3), others: seeds }));
  assert.equal(await lineSegments(panel, 'loss'), '4 lines of 341 points');
  assert.deepEqual(await texts(panel, '#loss .plot svg .mark-text.role-mark text', /^[A-D ]+$/), [
    'A',
    'B C',
    'D',
  ]);
  await panel.page.getByRole('button', { name: /^Show the lines of seed-2/ }).click();
  await panel.settle();
  assert.equal(await lineSegments(panel, 'loss'), '3 lines of 241 points');
  await panel.page.getByRole('button', { name: /^Remove seed-2/ }).click();
  assert.deepEqual(await panel.intentOf('remove'), { type: 'remove', run: seeds[1] });
  await panel.end();
});

drawn('losses of two objectives have a chart and a unit each', async () => {
  const panel = await opened();
  const state = await trainingOf(running, { overlays: seeds.slice(0, 1), others: seeds });
  const [own, other] = state.curves;
  await panel.send({ ...state, curves: [own, { ...other, objective: 'peak' }] });
  for (const id of ['loss', 'loss-peak'])
    assert.match(await lineSegments(panel, id), /^1 line of \d+ points$/, id);
  assert.match(await panel.page.locator('#loss .readout').innerText(), /nats per token$/);
  const peak = panel.page.locator('#loss-peak');
  assert.doesNotMatch(await peak.innerText(), /nats/);
  assert.equal(await peak.getByRole('heading').innerText(), 'Loss: peak');
  await panel.end();
});

drawn('charts hold still under the pointer; a click pins what they say', async () => {
  const panel = await opened({ width: 500 });
  await panel.send(await trainingOf(running, { overlays: seeds.slice(0, 4), others: seeds }));
  const tops = () =>
    panel.page
      .locator('.plot')
      .evaluateAll((all) => all.map((plot) => plot.getBoundingClientRect().top + scrollY));
  const before = await tops();
  const plot = panel.page.locator('#loss .plot');
  const readout = panel.page.locator('#gradient .readout');
  for (const x of [80, 150, 300]) {
    await plot.hover({ position: { x, y: 60 } });
    assert.deepEqual(await tops(), before);
  }
  assert.match(await readout.innerText(), /^step \d+: A .* · B /);
  await plot.click({ position: { x: 200, y: 60 } });
  const pinned = await readout.innerText();
  await panel.page.locator('h1').hover();
  assert.equal(await readout.innerText(), pinned, 'it stays when the pointer goes');
  assert.deepEqual(await tops(), before);
  await plot.click({ position: { x: 200, y: 60 } });
  await panel.page.locator('h1').hover();
  assert.doesNotMatch(await readout.innerText(), /^step/);
  await panel.end();
});

drawn('a part of the axis is drawn over and shown; a double-click shows all', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(running));
  const labels = () => texts(panel, '#gradient .role-axis-label text', /./);
  const whole = await labels();
  const box = (await panel.page.locator('#loss .plot').boundingBox())!;
  await panel.page.mouse.move(box.x + 120, box.y + 60);
  await panel.page.mouse.down();
  await panel.page.mouse.move(box.x + 160, box.y + 70, { steps: 4 });
  assert.equal(await panel.page.locator('#loss .mark-rect path').count(), 1, 'what is drawn over is seen');
  await panel.page.mouse.up();
  await panel.settle();
  assert.notDeepEqual(await labels(), whole, 'all charts have one axis');
  await panel.page.locator('#loss .plot').dblclick({ position: { x: 150, y: 50 } });
  await panel.settle();
  assert.deepEqual(await labels(), whole);
  await panel.end();
});

drawn('log loss, time, smoothing and lines of a legend are chosen', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(running));
  const spread = () => texts(panel, '#loss .role-axis-label text', /./);
  const linear = await spread();
  await panel.page.getByRole('checkbox', { name: 'log loss' }).press('Space');
  await panel.settle();
  assert.notDeepEqual(await spread(), linear);
  const lines = () => panel.page.locator('#stepSize .steps_marks path').count();
  const all = await lines();
  await panel.page.getByRole('button', { name: 'Show the line cap R1' }).click();
  await panel.settle();
  assert.equal(await lines(), all - 1);
  await panel.page.getByRole('slider', { name: 'Smoothing' }).fill('40');
  assert.deepEqual(await panel.intentOf('smooth'), { type: 'smooth', steps: 40 });
  const trend = () => panel.page.locator('#loss .trend_marks path').first().getAttribute('d');
  const bold = await trend();
  await panel.send(await trainingOf(running, { smoothing: 40 }));
  assert.notEqual(await trend(), bold);
  const list = panel.page.locator('.overlays vscode-single-select');
  await list.click();
  await list.locator('.option', { hasText: 'time' }).click();
  await panel.settle();
  assert.ok((await spread()).some((text) => text.endsWith(' min')));
  await panel.page.locator('#loss .plot').hover({ position: { x: 120, y: 60 } });
  assert.match(await panel.page.locator('#seconds .readout').innerText(), /^step \d+, [\d.]+ min: /);
  await panel.end();
});

drawn('a chart leaves as a picture, and its numbers with all their digits', async () => {
  const panel = await opened();
  const state = await trainingOf(running);
  await panel.send(state);
  const choose = async (name: string) => {
    await panel.page.getByRole('button', { name: 'Save Loss' }).click();
    await panel.page.getByRole('menuitem', { name }).click();
  };
  await choose('Save as SVG');
  const svg = (await panel.intentOf('picture')) as { format: string; name: string; content: string };
  assert.deepEqual([svg.format, svg.name], ['svg', 'loss']);
  assert.match(svg.content, /^<svg[^>]*>[\s\S]*Loss[\s\S]*<path/);
  const saved = async (name: string, format: string) => {
    await choose(name);
    const picture = async () => (await panel.intentOf('picture')) as { format: string; content: string };
    const { content } = await eventually(format, picture, (one) => one.format === format, 10_000);
    return content;
  };
  const png = Buffer.from(await saved('Save as PNG', 'png'), 'base64');
  assert.equal(png.subarray(1, 4).toString(), 'PNG');
  const spec = JSON.parse(await saved('Save as Vega-Lite', 'vega-lite')) as { datasets: object };
  assert.ok(Object.keys(spec.datasets).includes('steps'));
  await choose('Copy values');
  const { text } = (await panel.intentOf('values')) as { text: string };
  const [head, first] = text.split('\n');
  assert.equal(head, 'step\tLoss');
  assert.equal(first, `1\t${state.curves[0]!.steps.loss[0]}`);
  await panel.end();
});

drawn('rotations that are exact to rounding are a tick, not a chart', async () => {
  const panel = await opened();
  const state = await trainingOf(realRun());
  const exact = { ...state, run: { ...state.run!, orthogonal: 4.8e-7 } };
  await panel.send(exact);
  assert.equal(await panel.page.locator('#orthogonality:visible').count(), 0);
  assert.match(await panel.page.locator('.verdict').innerText(), /✓ ‖RᵀR − I‖ at most 4\.8e−7/);
  await panel.send({ ...state, run: { ...state.run!, orthogonal: null } });
  assert.equal(await panel.page.locator('#orthogonality:visible').count(), 1);
  await panel.end();
});

/** The first row of charts that ends before the others do, in pixels; null where there is none. */
async function unfilledRow(page: Page): Promise<string | null> {
  const boxes = await page
    .locator('.figure:visible')
    .evaluateAll((all) => all.map((figure) => figure.getBoundingClientRect().toJSON() as DOMRect));
  const right = Math.max(...boxes.map((one) => one.right));
  for (const top of new Set(boxes.map((one) => Math.round(one.top)))) {
    const ends = boxes.filter((one) => Math.round(one.top) === top).map((one) => one.right);
    if (right - Math.max(...ends) >= 2) return `ends at ${Math.max(...ends)} of ${right}`;
  }
  return null;
}

drawn('the curve is on the first screen, and no row has an empty place', async () => {
  const panel = await opened({ width: 640, height: 600 });
  await panel.send(await trainingOf(running, { overlays: seeds, others: seeds }));
  const box = (await panel.page.locator('#loss .plot').boundingBox())!;
  assert.ok(box.y + box.height <= 600, `it ends at ${box.y + box.height}`);
  for (const width of [400, 700, 1100, 1400, 1900]) {
    await panel.page.setViewportSize({ width, height: 900 });
    // Rows are laid out again behind the change of size.
    const unfilled = () => unfilledRow(panel.page);
    await eventually(`full rows at ${width} px`, unfilled, (row) => row === null, 10_000);
  }
  await panel.end();
});
