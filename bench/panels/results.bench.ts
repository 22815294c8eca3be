/**
 * How long does the results panel take with 200 runs: to read them, to be painted, to be sorted and filtered?
 *
 * The host reads a recorded folder of 200 runs, 189 of them with results. The page is the panel's own, alone in headless
 * Chromium under the editor's policy. A time ends when the second frame after the action is due: all of it is drawn.
 *
 * Usage: node --import tsx bench/panels/results.bench.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CDPSession } from 'playwright-core';
import { makeManyRuns } from '../../scripts/fixtures/make-many-runs.mts';
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { openRun } from '../../src/runs/index.ts';
import { type PanelBrowser, type PanelPage, startBrowser } from '../../test/webview/harness.ts';
import { resultsOf } from '../../test/webview/states.ts';
import { median } from '../probe.ts';

const TURNS = 9;

interface Row {
  readonly action: string;
  /** Milliseconds of processor time of the thread that works, the median of all turns; on a shared machine it is what counts. */
  readonly processor: number;
  /** Milliseconds on the clock, the least of all turns. */
  readonly clock: number;
  /** Largest that is allowed. */
  readonly target: number;
}

interface Time {
  readonly processor: number;
  readonly clock: number;
}

async function several(action: string, target: number, once: () => Promise<Time>): Promise<Row> {
  const times: Time[] = [];
  for (let turn = 0; turn < TURNS; turn++) times.push(await once());
  const clock = Math.min(...times.map((time) => time.clock));
  return { action, processor: median(times.map(({ processor }) => processor)), clock, target };
}

/** Of this process. */
async function hostTime(work: () => Promise<unknown>): Promise<Time> {
  const [began, used] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(used);
  return { processor: (user + system) / 1000, clock: performance.now() - began };
}

/** Seconds of processor time of the page's thread since it began. */
async function threadSeconds(session: CDPSession): Promise<number> {
  const { metrics } = await session.send('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN;
}

async function watch({ page }: PanelPage): Promise<CDPSession> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  return session;
}

/** From the action to the second frame after it. @param value null for a click. */
async function pageTime(panel: PanelPage, selector: string, value: string | null): Promise<Time> {
  const session = await watch(panel);
  const before = await threadSeconds(session);
  const clock = await panel.page.evaluate(
    async ([query, text]) => {
      const element = document.querySelector<HTMLInputElement>(query);
      if (!element) throw new Error(query);
      const began = performance.now();
      if (text === null) element.click();
      else {
        element.value = text;
        element.dispatchEvent(new Event('input', { bubbles: true }));
      }
      for (let frame = 0; frame < 2; frame++) await new Promise((done) => requestAnimationFrame(done));
      return performance.now() - began;
    },
    [selector, value] as const,
  );
  const processor = 1000 * ((await threadSeconds(session)) - before);
  await session.detach();
  return { processor, clock };
}

/** On the clock, from the beginning of the page until the rows are drawn; of the processor, from the state on. */
async function paintTime(browser: PanelBrowser, state: ResultsState): Promise<Time> {
  const panel = await browser.open('results', { width: 1280, height: 720 });
  const session = await watch(panel);
  const before = await threadSeconds(session);
  await panel.send(state);
  const clock = await panel.page.evaluate(() => performance.now());
  const processor = 1000 * ((await threadSeconds(session)) - before);
  await panel.end();
  return { processor, clock };
}

async function measure(browser: PanelBrowser): Promise<Row[]> {
  const dirs = makeManyRuns(await browser.runsFolder());
  const measured: string[] = [];
  for (const dir of dirs) if ((await openRun(dir)).record.status === 'finished') measured.push(dir);
  const state = await resultsOf(measured.toReversed());
  const rows = [
    await several('read 200 runs, nothing known', 1000, () => hostTime(() => resultsOf(measured))),
    await several('open the panel and paint it', 1000, () => paintTime(browser, state)),
  ];
  const panel = await browser.show('results', state, { width: 1280, height: 720 });
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
}

const browser = await startBrowser();
try {
  const rows = await measure(browser);
  for (const { action, processor, clock, target } of rows)
    console.log(
      `${action}: ${processor.toFixed(0)} ms of the processor, ${clock.toFixed(0)} on the clock, allowed ${target}`,
    );
  const folder = fileURLToPath(new URL('../results/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const record = { processor: os.cpus()[0]?.model ?? '', cores: os.cpus().length, runs: 200, rows };
  writeFileSync(join(folder, 'results-panel.json'), `${JSON.stringify(record, null, 2)}\n`);
} finally {
  await browser.end();
}
