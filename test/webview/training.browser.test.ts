import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  makeCurveRun,
  makeDeepRun,
  makeEvaluatedRun,
  makeNanRun,
  makeRoundingRun,
  makeRunningRun,
  makeSeedRuns,
} from '../../scripts/fixtures/make-runs.mts';
import { browserFor, drawn, type OpenOptions, type PanelPage, THEME_NAMES } from './harness.ts';
import { lineSegments, texts } from './lines.ts';
import { realRun, trainingOf } from './states.ts';

let folder: string;
let running: string;
let seeds: readonly string[];

const browser = browserFor(async (started) => {
  folder = await started.runsFolder();
  running = makeRunningRun(folder);
  seeds = makeSeedRuns(folder);
});

const opened = (options: OpenOptions = {}) => browser.open('training', options);

drawn('a run at work: six charts, verdict, buttons', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(running, { others: seeds }));
  assert.equal(await panel.page.locator('.plot svg').count(), 6);
  assert.equal(await lineSegments(panel, 'loss'), '1 line of 41 points');
  assert.match(await panel.page.locator('.verdict').innerText(), /converging: loss −1\d % in 41 steps/);
  assert.match(
    await panel.page.locator('.facts').innerText(),
    /^llama-8b · running · step 41\/100 · 1\d min/,
  );
  assert.match(await panel.page.locator('#loss .readout').innerText(), /^2\.5\d\d nats per token$/);
  assert.match(await panel.page.locator('#gradient .about').innerText(), /clipped at 1\.0 \(dotted\)/);
  assert.match(await panel.page.locator('#stepSize .legend').innerText(), /cap R1/);
  for (const name of ['Pause', 'Cancel']) {
    await panel.page.getByRole('button', { name, exact: true }).click();
    assert.deepEqual(await panel.intentOf(name.toLowerCase()), { type: name.toLowerCase(), run: running });
  }
  assert.equal(await panel.page.getByRole('button', { name: 'Resume' }).count(), 0);
  await panel.end();
});

drawn('a run without native kernels says so', async () => {
  const panel = await opened();
  const facts = panel.page.locator('.facts');
  await panel.send(await trainingOf(running));
  assert.doesNotMatch(await facts.innerText(), /composed/);
  const record = JSON.parse(readFileSync(join(running, 'run.json'), 'utf8'));
  const provenance = { ...record.provenance, kernels: 'composed' };
  const copy = join(folder, '20261121T000000Z-composed');
  cpSync(running, copy, { recursive: true });
  writeFileSync(join(copy, 'run.json'), JSON.stringify({ ...record, provenance }));
  await panel.send(await trainingOf(copy));
  assert.match(await facts.innerText(), / · composed operators$/);
  assert.match((await facts.getAttribute('title'))!, /same results up to rounding, slower/);
  await panel.end();
});

drawn('a loss that is not a number: a gap, crosses and a sentence', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(makeNanRun(folder)));
  assert.equal(await lineSegments(panel, 'loss'), '2 lines of 55 points');
  assert.match(await panel.page.locator('#loss .note').innerText(), /not a number at 5 steps, 37 to 41/);
  assert.match(
    await panel.page.locator('.verdict').innerText(),
    /diverging: the loss is not a number since step 37/,
  );
  assert.equal(await lineSegments(panel, 'gradient'), '1 line of 60 points');
  await panel.end();
});

drawn('live: five runs, a step at a time, in place and in time', async () => {
  await checkLive(await opened(), running, seeds);
});

drawn('keys move a cursor that all charts share', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(running));
  const loss = panel.page.getByRole('slider', { name: /^Loss/ });
  await loss.focus();
  await panel.page.keyboard.press('ArrowLeft');
  assert.match((await loss.getAttribute('aria-valuetext')) ?? '', /^step 40: 2\.\d{3} nats per token/);
  assert.match(await panel.page.locator('#gradient .readout').innerText(), /^step 40: /);
  await panel.page.keyboard.press('Home');
  assert.equal(await loss.getAttribute('aria-valuenow'), '1');
  await panel.page.locator('#loss .plot').hover({ position: { x: 120, y: 60 } });
  assert.match(await panel.page.locator('#seconds .readout').innerText(), /^step \d+: /);
  await panel.end();
});

drawn('every chart has a table; which are open is kept over a reload', async () => {
  await checkTables(running);
});

drawn('a theme is applied when it comes', async () => {
  const panel = await opened({ theme: 'light' });
  await panel.send(await trainingOf(running));
  const stroke = () => panel.page.locator('#loss .steps_marks path').first().getAttribute('stroke');
  const light = await stroke();
  await panel.setTheme('dark');
  assert.notEqual(await stroke(), light);
  assert.equal(await lineSegments(panel, 'loss'), '1 line of 41 points', 'with all its data');
  await panel.end();
});

drawn('no run: what will be here, and how to begin', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(null));
  await panel.screenshot('training-empty-light');
  await panel.page.getByRole('button', { name: 'New experiment' }).click();
  assert.deepEqual(await panel.intentOf('begin'), { type: 'begin', what: 'new-experiment' });
  await panel.send(await trainingOf(running));
  assert.equal(await panel.page.locator('.plot svg').count(), 6, 'the run that was begun');
  await panel.end();
});

drawn(
  'weights rounded by GPTQ: errors by layer, for all linear layers or one, as a chart and as a table',
  async () => {
    await checkRounding(makeRoundingRun(folder));
  },
);

drawn('an evaluation shows its rounding, and nothing of steps', async () => {
  const panel = await opened();
  await panel.send(await trainingOf(makeEvaluatedRun(folder)));
  assert.equal(await panel.page.locator('.plot svg:visible').count(), 1);
  assert.equal(await panel.page.locator('.verdict:visible').count(), 0);
  assert.equal(await panel.page.locator('.facts').innerText(), 'llama-8b · finished');
  assert.match(await panel.page.locator('#rounding .readout').innerText(), /^mean of 32 layers: /);
  await panel.send(await trainingOf(running));
  assert.equal(await panel.page.locator('.plot svg:visible').count(), 6, 'another run has steps instead');
  await panel.end();
});

drawn('a failed run says why, an interrupted one can go on', async () => {
  const panel = await opened();
  const error = { code: 'x', message: 'model.safetensors ends too early.', hint: 'Copy it again.' };
  const failed = makeCurveRun(folder, {
    slug: 'f',
    shape: 'stalled',
    seed: 1,
    minute: 70,
    steps: 3,
    status: 'failed',
    error,
  });
  await panel.send(await trainingOf(failed));
  assert.equal(await panel.page.getByRole('alert').innerText(), `${error.message}\n${error.hint}`);
  const stopped = makeCurveRun(folder, {
    slug: 'i',
    shape: 'converging',
    seed: 1,
    minute: 71,
    steps: 9,
    status: 'interrupted',
    resumable: true,
  });
  await panel.send(await trainingOf(stopped));
  await panel.page.getByRole('button', { name: 'Resume' }).click();
  assert.deepEqual(await panel.intentOf('resume'), { type: 'resume', run: stopped });
  await panel.end();
});

drawn('screenshots in every theme', async () => {
  const broken = makeNanRun(folder);
  const deep = makeDeepRun(folder);
  const [rounding, evaluated] = [makeRoundingRun(folder), makeEvaluatedRun(folder)];
  for (const theme of THEME_NAMES) {
    const panel = await opened({ theme });
    await panel.send(await trainingOf(running, { overlays: seeds.slice(0, 3), others: seeds }));
    await panel.screenshot(`training-overlay-${theme}`);
    await panel.send(await trainingOf(running, { others: seeds }));
    await panel.screenshot(`training-running-${theme}`);
    await panel.send(await trainingOf(broken, { others: seeds }));
    await panel.screenshot(`training-nan-${theme}`);
    await panel.send(await trainingOf(realRun()));
    await panel.screenshot(`training-real-${theme}`);
    await panel.send(await trainingOf(rounding, { others: seeds }));
    await panel.screenshot(`training-rounding-${theme}`);
    await panel.send(await trainingOf(evaluated));
    await panel.screenshot(`training-evaluated-${theme}`);
    await panel.end();
  }
  const narrow = await opened({ width: 420 });
  await narrow.send(await trainingOf(deep, { others: seeds }));
  await narrow.screenshot('training-narrow-light');
  assert.ok(await fitsInWidth(narrow), 'nothing is wider than the panel');
  await narrow.send(await trainingOf(rounding, { others: seeds }));
  await narrow.screenshot('training-rounding-narrow-light');
  assert.ok(await fitsInWidth(narrow), 'nothing is wider than the panel');
  await narrow.end();
});

async function checkRounding(rounding: string): Promise<void> {
  const panel = await browser.open('training');
  const figure = panel.page.locator('#rounding');
  const readout = figure.locator('.readout');
  await panel.send(await trainingOf(rounding));
  assert.match(
    await panel.page.locator('.panel-head').innerText(),
    /Rounding layer 19 of 32 by GPTQ \(56 %\) · 2 min 13 s left/,
  );
  assert.match(await readout.innerText(), /^mean of 18 layers: \d\d % of the error to nearest$/);
  assert.match(
    await figure.locator('.legend').innerText(),
    /rounded to nearest\s*[\d.]+ %[\s\S]*GPTQ\s*[\d.]+ %/,
  );
  const slider = panel.page.getByRole('slider', {
    name: /^Rounding error by layer, mean of all 7, mean of 18 layers/,
  });
  await slider.focus();
  await panel.page.keyboard.press('Home');
  assert.match(
    (await slider.getAttribute('aria-valuetext'))!,
    /^layer 0: \d\d % .* GPTQ [\d.]+ % · rounded to nearest/,
  );
  const axis = await figure.locator('.role-axis-label text').allTextContents();
  await chooseLinear(panel, 'down_proj');
  assert.match((await panel.page.getByRole('slider', { name: /down_proj/ }).count()).toString(), /^1$/);
  assert.ok(axis.includes('layer 0') && axis.includes('1'), axis.join(' '));
  await figure.getByRole('button', { name: 'Show Rounding error by layer as a table' }).press('Enter');
  const table = figure.getByRole('table');
  assert.equal(await table.locator('tbody tr').count(), 18);
  assert.equal(await table.locator('caption').innerText(), 'Rounding error by layer · down_proj');
  const kept = await panel.kept();
  await panel.end();
  const again = await browser.open('training', { kept });
  await again.send(await trainingOf(rounding));
  assert.match(await again.page.locator('#rounding caption').innerText(), /down_proj$/, 'kept over a reload');
  await again.end();
}

/** As a person does: the list opens, and the entry is clicked. */
async function chooseLinear(panel: PanelPage, name: string): Promise<void> {
  const list = panel.page.locator('#rounding vscode-single-select');
  await list.click();
  await list.locator('.option', { hasText: name }).click();
  await panel.settle();
}

async function checkLive(panel: PanelPage, running: string, seeds: readonly string[]): Promise<void> {
  const states = await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      trainingOf(running, { overlays: seeds, firstSteps: 12 + index }),
    ),
  );
  await panel.send(states[0]);
  const drawing = await panel.page.locator('#loss .plot svg').elementHandle();
  const axis = await texts(panel, '#loss .role-axis-label text', /./);
  const each = await panel.timeToShow(states.slice(1));
  assert.ok(await drawing!.evaluate((element) => element.isConnected), 'the same drawing all the time');
  assert.deepEqual(await texts(panel, '#loss .role-axis-label text', /./), axis, 'axes stood still');
  assert.equal(await lineSegments(panel, 'loss'), '5 lines of 441 points');
  await panel.end();
  console.log(`    ${each.toFixed(1)} ms of processor time per update of 5 runs × 6 charts`);
}

async function checkTables(running: string): Promise<void> {
  const panel = await browser.open('training');
  const state = await trainingOf(running);
  await panel.send(state);
  const toggles = panel.page.getByRole('button', { name: /^Show .* as a table$/ });
  while ((await toggles.count()) > 0) {
    await toggles.first().focus();
    await panel.page.keyboard.press('Enter');
  }
  assert.equal(await panel.page.locator('.plot svg:visible').count(), 0);
  const tables = panel.page.getByRole('table');
  assert.equal(await tables.count(), 6);
  for (const table of await tables.all()) {
    assert.equal(await table.locator('tbody tr').count(), 41);
    assert.ok((await table.locator('caption').innerText()).length > 0);
    assert.equal(await table.locator('thead th:not([scope=col])').count(), 0);
  }
  const first = await panel.page.locator('#loss tbody tr').first().innerText();
  assert.match(first, /^1\s+2\.8\d\d$/);
  const kept = await panel.kept();
  await panel.end();
  const again = await browser.open('training', { kept });
  await again.send(state);
  assert.equal(await again.page.getByRole('table').count(), 6);
  assert.deepEqual((kept as { remembered: unknown }).remembered, state.remembered);
  await again.end();
}

function fitsInWidth(panel: PanelPage): Promise<boolean> {
  return panel.page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
}
