import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import type { Frame } from 'playwright-core';
import { formatPerplexity } from '../../../src/protocol/text.ts';
import { openRun } from '../../../src/runs/index.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { ROOT, screenshot } from '../rig/rig.ts';
import { chooseOption } from './choose-option.ts';
import { eventually } from './eventually.ts';
import { newestRun } from './run-files.ts';
import type { Session } from './session.ts';

const FILE = 'w3.spinquant.json';
const STEPS = 30;
/** The least that the side bar's numbers must fit into. */
const SIDE_BAR_PX = 300;

/** Two runs of one experiment, made in a terminal. */
export async function makeTwoRuns({ folder, workbench }: Session): Promise<void> {
  const lab = JSON.parse(readFileSync(join(folder, EXPERIMENT), 'utf8')) as object;
  const cli = [join(ROOT, 'dist', 'cli.js'), 'optimize', FILE];
  for (const seed of [0, 1]) {
    const rotation = { r1: 'learned', r2: 'learned', seed, learning: { steps: STEPS, batchSize: 2 } };
    writeFileSync(join(folder, FILE), JSON.stringify({ ...lab, rotation }, null, 2));
    await promisify(execFile)(process.execPath, cli, { cwd: folder });
  }
  await workbench.openFile(FILE);
  await workbench.openContainer('SpinQuant Lab');
  await workbench.treeItem('Runs', /^w3 #2/).waitFor();
}

/** Of runs and layers the numbers stand in a side bar of 300 px, uncut; a warning is for what is bad. */
export async function readSideBar(session: Session): Promise<void> {
  const { folder, rig, workbench } = session;
  const run = (await newestRun(folder))!;
  const { perplexity } = await run.readResults();
  const number = formatPerplexity(perplexity[0]!.quantized);
  const row = workbench.treeItem('Runs', /^w3 #2/);
  await workbench.treeItem('Layers', /^layer 4/).waitFor();
  const width = (await rig.page.locator('.part.sidebar').boundingBox())!.width;
  assert.ok(width <= SIDE_BAR_PX + 10, `the side bar has ${width} px`);
  assert.match(await row.innerText(), new RegExp(`^w3 #2\\s*${number}`));
  assert.ok(await isUncut(session, 'w3 #2', number), `${number} is cut`);

  const { sites } = await run.readActivations();
  const own = sites.filter(({ layer, after }) => layer === 4 && after.sqnrDb !== null);
  const worst = own.reduce((most, one) => (one.after.sqnrDb! < most.after.sqnrDb! ? one : most));
  const left = `${worst.after.sqnrDb!.toFixed(1)} dB`;
  const layer = workbench.treeItem('Layers', /^layer 4/);
  assert.match(await layer.innerText(), new RegExp(`^layer 4\\s*${left} \\([+−][\\d.]+\\)`));
  assert.ok(await isUncut(session, 'layer 4', left), `${left} is cut`);
  const bad = sites.some(({ after }) => after.sqnrDb !== null && after.sqnrDb < 10);
  const marks = (await workbench.treeTexts('Layers')).filter((text) => text.includes('▲'));
  assert.equal(marks.length > 0, bad, 'the last is not marked for being last');
  const hover = await workbench.hover(layer, 'down_proj input');
  assert.match(await hover.innerText(), /→/);
  await screenshot(rig.page, 'side-bar-light');
}

/** A part of a row that is in sight: its last letter ends before anything cuts it off. */
async function isUncut({ workbench }: Session, row: string, text: string): Promise<boolean> {
  const element = `[...document.querySelectorAll('.monaco-list-row')].find((one) => one.textContent.startsWith('${row}'))`;
  return workbench.page.evaluate<boolean>(`(${END_IN_SIGHT})(${element}, '${text}')`);
}

/** Runs in the page, which has other types. */
const END_IN_SIGHT = `(row, text) => {
  const nodes = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
  for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
    const at = node.data.indexOf(text);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + text.length);
    const end = range.getBoundingClientRect().right;
    for (let box = node.parentElement; box && row.contains(box); box = box.parentElement)
      if (getComputedStyle(box).overflow !== 'visible' && box.getBoundingClientRect().right < end) return false;
    return true;
  }
  return false;
}`;

/** On a small screen the curve is in sight; other runs are added by a search and taken away by their chips. */
export async function addRun({ folder, rig, workbench }: Session): Promise<void> {
  await rig.page.setViewportSize({ width: 1280, height: 720 });
  await workbench.command('SpinQuant: Show Training');
  const training = await workbench.webview(/^Training · w3/);
  await training.locator('#loss .plot svg').waitFor();
  const sight = "document.querySelector('#loss .plot').getBoundingClientRect().bottom <= innerHeight";
  assert.ok(await training.evaluate(sight), 'the curve is on the first screen');
  await screenshot(rig.page, 'training-1280');
  await training.getByRole('button', { name: 'Add run …' }).click();
  await workbench.choice(/^w3 .*W4A4KV4/).click();
  await rig.page.keyboard.press('Enter');
  await eventually(
    'two chips',
    () => training.locator('.chip .toggle').count(),
    (count) => count === 2,
  );
  await eventually(
    'two lines',
    () => lines(training),
    (count) => count === 2,
  );
  await screenshot(rig.page, 'training-two-1280');
  const run = (await newestRun(folder))!;
  const exact = (await run.readEvents()).every(
    (event) => event.type !== 'step' || event.orthogonalityError < 1e-6,
  );
  assert.equal((await training.locator('.exact').innerText()).includes('✓'), exact);
  await training.getByRole('button', { name: /^Remove w3/ }).click();
  await eventually(
    'one line',
    () => lines(training),
    (count) => count === 1,
  );
}

const lines = (training: Frame) =>
  training.locator('#loss .steps_marks path, #loss .others_marks path').count();

/** The heat map leads to a place, which a second run shows beside the first; a choice of a layer keeps the site. */
export async function compareLayers({ folder, rig, workbench }: Session): Promise<void> {
  await rig.page.setViewportSize({ width: 1600, height: 1000 });
  await workbench.command('SpinQuant: Show Layers');
  const layers = await workbench.webview(/^Layers · w3/);
  await chooseOption(layers, 'Site', 'o_proj input');
  await layers.getByRole('heading', { name: /· o_proj input$/ }).waitFor();
  await layers.getByRole('slider', { name: /^SQNR over depth/ }).focus();
  await rig.page.keyboard.press('Home');
  await layers.getByRole('heading', { name: 'layer 0 · o_proj input' }).waitFor();
  const { dir } = (await newestRun(folder))!;
  const cells = (await (await openRun(dir)).readActivations()).sites;
  const map = layers.getByRole('slider', { name: /^Layers and sites/ });
  assert.ok((await map.locator('.mark-rect path').count()) <= cells.length + 1);
  await map.focus();
  await rig.page.keyboard.press('ArrowDown');
  await layers.getByRole('heading', { name: 'layer 0 · gate/up input' }).waitFor();
  await chooseOption(layers, 'Beside', /w3 /);
  await layers.locator('#other-histogram .plot svg').waitFor();
  assert.equal(await layers.locator('.side:visible').count(), 2);
  await screenshot(rig.page, 'layers-beside-light');
}

/** Other bits, and a seed that is not the one of the rotations: what is measured is theirs, and says so. */
export async function measureRotations({ folder, rig, workbench }: Session): Promise<void> {
  const learner = (await newestRun(folder))!;
  const path = join(folder, FILE);
  const settings = JSON.parse(readFileSync(path, 'utf8')) as { rotation: object; quantization: object };
  const rotation = { ...settings.rotation, seed: 7 };
  const quantization = { ...settings.quantization, activations: { bits: 8 } };
  writeFileSync(path, JSON.stringify({ ...settings, rotation, quantization }, null, 2));
  await workbench.showTab(/^w3\.spinquant\.json/);
  await workbench.lens(/Re-run \(.*, stale\)/).click();
  await workbench.notification('evaluated').waitFor({ timeout: 120_000 });
  const run = (await newestRun(folder))!;
  assert.equal((await run.readExperiment()).rotation.seed, 1);
  await workbench.command('SpinQuant: Show Results');
  const results = await workbench.webview(/^Results/);
  const row = (dir: string) => results.locator(`tr[data-vscode-context*="${basename(dir)}"]`);
  await row(run.dir).locator('.from').waitFor();
  const name = await row(learner.dir).locator('.run-name').innerText();
  assert.equal(await row(run.dir).locator('.from').innerText(), `rotations of ${name} · seed 1`);
  const from = row(run.dir).locator('.from');
  const isWhole = await from.evaluate((element) => element.scrollWidth <= element.clientWidth);
  assert.ok(isWhole, 'the seed is in sight');
  const told = `Rotations of ${basename(learner.dir)}, seed 1`;
  await workbench.hover(workbench.treeItem('Runs', /^w3 #3/), told);
  await screenshot(rig.page, 'rotations-of-light');
}

/** The panel that shows the newest run does not go over to an older one in silence. */
export async function deleteShown({ folder, rig, workbench }: Session): Promise<void> {
  const layers = await workbench.panel(/^Layers · w3/);
  const shown = await layers.locator('.panel-head').innerText();
  const runs = join(folder, '.spinquant', 'runs');
  const [, second] = readdirSync(runs)
    .filter((name) => !name.endsWith('-evaluate'))
    .sort();
  rmSync(join(runs, second!), { recursive: true });
  await layers.getByRole('heading', { name: /^The run w3 .* was deleted$/ }).waitFor();
  await screenshot(rig.page, 'layers-deleted-light');
  await layers.getByText('Show the newest run').click();
  await layers.locator('#histogram .plot svg').waitFor();
  assert.notEqual(await layers.locator('.panel-head').innerText(), shown);
}
