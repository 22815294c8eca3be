/** Where the loss goes, in the layers panel. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attributionOf } from '../../scripts/fixtures/attribution.mts';
import { makeDeepRun } from '../../scripts/fixtures/make-runs.mts';
import type { LayersState } from '../../src/protocol/panels/layers.ts';
import { writeAttribution } from '../../src/runs/index.ts';
import { browserFor, drawn, type OpenOptions, type PanelPage, THEME_NAMES } from './harness.ts';
import { layersOf, realRun } from './states.ts';

const LAYERS = 32;
const PARTS = 13;
const WIDTHS = [400, 700, 1400];
const chosen = { layer: 7, site: 'down-input' } as const;
const file = attributionOf(LAYERS, true);

let dir: string;
let state: LayersState;

const browser = browserFor(async (started) => {
  dir = makeDeepRun(await started.runsFolder());
  writeAttribution(join(dir, 'attribution.json'), file);
  state = await layersOf(dir, chosen);
});
const map = ({ page }: PanelPage) => page.locator('#attribution');

/** Its charts are drawn when they come near. */
async function opened(shown: LayersState, options: OpenOptions = {}): Promise<PanelPage> {
  const panel = await browser.show('layers', shown, options);
  await panel.page.locator('.attribution').scrollIntoViewIfNeeded();
  await map(panel).locator('.mark-rect.role-mark path').first().waitFor({ state: 'attached' });
  return panel;
}
const cells = (panel: PanelPage) => map(panel).locator('.mark-rect.role-mark').first().locator('path');

/** Sum of what a rounding alone costs, of cells. */
const riseOf = (isMeant: (cell: (typeof file.cells)[number]) => boolean): number =>
  file.cells.filter(isMeant).reduce((sum, { rise }) => sum + rise, 0);
const natsOf = (text: string): number => Number(text.replace('−', '-'));

drawn('a cell for each layer and part, and a row of sums; rows say what all layers come to', async () => {
  const panel = await opened(state);
  assert.equal(await cells(panel).count(), LAYERS * (PARTS + 1));
  const labels = await map(panel).locator('.role-axis-label text').allTextContents();
  const down = labels.find((label) => label.startsWith('down_proj input'));
  const sum = natsOf(down!.replace('down_proj input', ''));
  const exact = riseOf(({ part }) => part === 'down-input');
  assert.ok(Math.abs(sum - exact) <= 0.05 * exact, `${sum} has two digits of ${exact}`);
  const facts = await panel.page.locator('.attribution .stats').innerText();
  assert.match(facts, /perplexity\s+5\.474 → /);
  assert.match(facts, /together beyond that\s+[+−]/);
  await panel.end();
});

drawn('another measure is drawn; the readout has the value of the place chosen', async () => {
  const panel = await opened(state);
  const fills = () => cells(panel).evaluateAll((all) => all.map((cell) => cell.getAttribute('fill')));
  const byRise = await fills();
  const readout = map(panel).locator('.readout');
  assert.match(await readout.innerText(), /^layer 7 · down_proj input: \+0\.0\d+ nats · 4 bits$/);
  await map(panel).locator('vscode-single-select').click();
  await map(panel).locator('vscode-single-select .option', { hasText: 'not rounded' }).click();
  await panel.settle();
  assert.notDeepEqual(await fills(), byRise);
  await panel.end();
});

drawn('keys and the pointer go to a place, a weight to what it is multiplied with', async () => {
  const panel = await opened(state);
  await panel.page.getByRole('slider', { name: /^Rise of the loss by layer and site/ }).focus();
  await panel.page.keyboard.press('ArrowRight');
  assert.deepEqual(await panel.intentOf('place'), { type: 'place', layer: 8, site: 'down-input' });
  await panel.page.keyboard.press('ArrowUp');
  assert.deepEqual(await panel.intentOf('place'), { type: 'place', layer: 8, site: 'mlp-input' });
  const weight = file.cells.findIndex(({ layer, part }) => layer === 3 && part === 'up-weight');
  const box = (await cells(panel).nth(weight).boundingBox())!;
  await panel.page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  assert.deepEqual(await panel.intentOf('place'), { type: 'place', layer: 3, site: 'mlp-input' });
  await panel.end();
});

drawn('the table has the sums of layers and of parts', async () => {
  const panel = await opened(state);
  await panel.page
    .getByRole('button', { name: 'Show Rise of the loss by layer and site as a table' })
    .click();
  const rows = map(panel).locator('tbody tr');
  assert.equal(await rows.count(), LAYERS + 1);
  const last = (await rows.last().innerText()).split('\t');
  assert.equal(last.length, PARTS + 2);
  const whole = riseOf(() => true);
  assert.ok(Math.abs(natsOf(last.at(-1)!) - whole) <= 0.05 * whole, last.at(-1));
  await panel.end();
});

drawn('more bits: the dearest site is proposed, and what is chosen is asked of the editor', async () => {
  const panel = await opened(state);
  const { page } = panel;
  await page.getByRole('button', { name: 'Put into experiment…' }).click();
  const dearest = { type: 'except', target: 'gate-up-activations', layers: 'worst:4', bits: 8 };
  assert.deepEqual(await panel.intentOf('except'), dearest);
  const picker = page.locator('.picker', { hasText: 'More bits for' }).locator('vscode-single-select');
  await picker.click();
  await picker.getByRole('option', { name: 'down_proj weight', exact: true }).click();
  await page.getByRole('button', { name: 'Put into experiment…' }).click();
  assert.deepEqual(await panel.intentOf('except'), { ...dearest, target: 'down-weights' });
  await page.getByRole('button', { name: 'Use these exceptions…' }).click();
  assert.deepEqual(await panel.intentOf('use-point'), { type: 'use-point', point: 1 });
  await panel.end();
});

drawn('nothing attributed yet: what the command does, and the command', async () => {
  const panel = await browser.show('layers', await layersOf(realRun()));
  assert.match(
    await panel.page.locator('.loss-none').innerText(),
    /Which layers and sites cost the perplexity/,
  );
  assert.equal(await panel.page.locator('.loss-found:visible').count(), 0);
  await panel.page.getByRole('button', { name: 'Attribute loss…' }).click();
  assert.deepEqual(await panel.intentOf('attribute'), { type: 'attribute' });
  await panel.end();
});

drawn('a run without activation statistics shows where its loss goes', async () => {
  const bare = makeDeepRun(await browser.runsFolder());
  rmSync(join(bare, 'activations.json'));
  writeFileSync(join(bare, 'attribution.json'), JSON.stringify(file));
  const panel = await opened(await layersOf(bare));
  assert.equal(await panel.page.locator('h1').innerText(), 'Where the loss goes');
  assert.equal(await cells(panel).count(), LAYERS * (PARTS + 1));
  assert.equal(await panel.page.locator('#histogram:visible').count(), 0);
  await panel.end();
});

drawn('screenshots in every theme and width; nothing is wider than the panel', async () => {
  for (const width of WIDTHS) {
    const panel = await opened(state, { width });
    for (const theme of THEME_NAMES) {
      await panel.setTheme(theme);
      await panel.screenshot(`attribution-${width}-${theme}`);
    }
    assert.equal(await panel.page.evaluate(() => document.scrollingElement!.scrollWidth), width);
    await panel.end();
  }
});
