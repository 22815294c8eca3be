import assert from 'node:assert/strict';
import type { Frame } from 'playwright-core';
import type { Site } from '../../../src/protocol/block.ts';
import { formatPerplexity } from '../../../src/protocol/text.ts';
import { eventually } from './eventually.ts';
import { typedPrompt } from './generating.ts';
import { figure, numberOf, tableBehind } from './panels.ts';
import { newestRun, perplexityByCli } from './run-files.ts';
import { screenshotInEveryTheme } from './screenshots.ts';
import type { Session } from './session.ts';

/** The experiment's tab. */
const EDITOR = /^lab\.spinquant\.json/;
const PANELS: [title: RegExp, name: string][] = [
  [/^Training/, 'training'],
  [/^Layers/, 'layers'],
  [/^Results/, 'results'],
];
const LAYER = 1;
const SITE: Site = 'down-input';

/** The tree says that the rotations are learned, and what that gave each layer. */
export async function lookAtTree({ workbench }: Session): Promise<void> {
  await workbench.openContainer('SpinQuant Lab');
  for (const name of ['R1', 'R2']) await workbench.treeItem('Layers', `${name}learned, merged`).waitFor();
  for (const name of ['R3', 'R4']) await workbench.treeItem('Layers', `${name}online Hadamard`).waitFor();
  const layer = workbench.treeItem('Layers', `layer ${LAYER}`);
  assert.match(
    await layer.innerText(),
    new RegExp(`^layer ${LAYER}\\s*-?\\d+\\.\\d dB \\([+−]\\d+\\.\\d\\)`),
  );
}

/** A click on a place in a layer shows its two histograms, which are those of the run. */
export async function lookAtLayer({ folder, workbench }: Session): Promise<void> {
  await workbench.showTab(EDITOR);
  await workbench.treeItem('Layers', `layer ${LAYER}`).click();
  await workbench.treeItem('Layers', /^down_proj input/).click();
  const layers = await workbench.webview(/^Layers/);
  await layers.getByRole('heading', { name: `layer ${LAYER} · down_proj input` }).waitFor();
  const drawn = await figure(layers, 'histogram').locator('svg path').count();
  assert.ok(drawn > 2, `${drawn} paths`);

  const rows = await tableBehind(layers, 'histogram');
  const shown = [1, 2].map((column) => rows.map((row) => numberOf(row[column]!)));
  const { sites } = await (await newestRun(folder))!.readActivations();
  const record = sites.find(({ layer, site }) => layer === LAYER && site === SITE)!;
  const counts = [record.before, record.after].map(({ histogram }) => histogram.counts);
  const filled = counts[0]!.map((count, bin) => count + counts[1]![bin]! > 0);
  assert.deepEqual(
    shown,
    counts.map((side) => side.filter((_, bin) => filled[bin])),
  );
  assert.notDeepEqual(shown[0], shown[1]);
}

/** The lens measures again; the number in it and in the table is that of the command line. */
export async function evaluate({ folder, workbench }: Session): Promise<void> {
  await workbench.showTab(EDITOR);
  await workbench.lens('Re-run (').click();
  await workbench.notification('evaluated').waitFor({ timeout: 120_000 });
  const run = (await newestRun(folder))!;
  const byCli = await perplexityByCli(folder, run);
  const lens = await workbench.lens('Re-run (').innerText();
  assert.ok(
    lens.includes(`Re-run (${formatPerplexity(byCli)} W4A4KV4, `),
    `${lens}; the command line says ${byCli}`,
  );

  await workbench.lens('No rotation').click();
  await workbench.lens('No rotation (').waitFor({ timeout: 120_000 });
  await workbench.command('SpinQuant: Show Results');
  const results = await workbench.webview(/^Results/);
  const table = await eventually(
    'both results',
    () => resultRows(results),
    (rows) => rows.length === 2,
  );
  assert.ok(
    table.some(([, , value]) => value?.includes(byCli.toFixed(3))),
    `${JSON.stringify(table)}; the command line says ${byCli}`,
  );
}

/** Reads what does not change with time: run, method and perplexity of each row. */
async function resultRows(results: Frame): Promise<string[][]> {
  await results.locator('table.results').waitFor();
  const column = (id: string) => results.locator(`table.results tbody [data-column="${id}"]`).allInnerTexts();
  const [runs, methods, values] = [await column('run'), await column('method'), await column('quantized')];
  return runs.map((run, index) => [run, methods[index] ?? '', values[index] ?? '']);
}

/** Every panel in every theme, to be looked at. */
export async function photograph({ workbench }: Session): Promise<void> {
  await workbench.command('Notifications: Clear All Notifications');
  for (const [title, name] of PANELS) {
    await workbench.panel(title);
    await screenshotInEveryTheme(workbench, name);
  }
}

/** After a reload every panel is there again, with the same data, and so are lens and tree. */
export async function reload(session: Session): Promise<void> {
  const { workbench } = session;
  const shown = async () => ({
    training: await tableBehind(await workbench.panel(/^Training/), 'loss'),
    layers: await tableBehind(await workbench.panel(/^Layers/), 'histogram'),
    results: await resultRows(await workbench.panel(/^Results/)),
    prompt: await typedPrompt(await workbench.panel(/^Generated Text/)),
    lens: /Re-run \(([\d.]+ \w+)/.exec(await workbench.lens('Re-run (').innerText())?.[1],
  });
  const before = await shown();
  await workbench.reload();
  await workbench.lens('Re-run (').waitFor({ timeout: 60_000 });
  assert.deepEqual(await shown(), before);
  await lookAtTree(session);
}
