/** Times of panels: of the processor, which is what counts on a shared machine, and on the clock. */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CDPSession, Page } from 'playwright-core';
import type { PanelName } from '../../src/protocol/panels/registry.ts';
import { type PanelBrowser, type PanelPage, startBrowser } from '../../test/webview/harness.ts';
import { median } from '../probe.ts';

const TURNS = 9;
export const SIZE = { width: 1280, height: 720 } as const;

export interface Time {
  readonly processor: number;
  readonly clock: number;
}

export interface Row {
  readonly action: string;
  /** Milliseconds of processor time of the thread that works, the median of all turns. */
  readonly processor: number;
  /** Milliseconds on the clock, the least of all turns. */
  readonly clock: number;
  /** Largest that is allowed. */
  readonly target: number;
}

export async function several(action: string, target: number, once: () => Promise<Time>): Promise<Row> {
  const times: Time[] = [];
  for (let turn = 0; turn < TURNS; turn++) times.push(await once());
  const clock = Math.min(...times.map((time) => time.clock));
  return { action, processor: median(times.map(({ processor }) => processor)), clock, target };
}

/** Of this process. */
export async function hostTime(work: () => Promise<unknown>): Promise<Time> {
  const [began, used] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(used);
  return { processor: (user + system) / 1000, clock: performance.now() - began };
}

async function watch(page: Page): Promise<CDPSession> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  return session;
}

/** Milliseconds of processor time of the page's thread since it was watched. */
async function threadTime(session: CDPSession): Promise<number> {
  const { metrics } = await session.send('Performance.getMetrics');
  return 1000 * (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN);
}

/** From the action to the second frame after it. @param value null for a click. */
export async function pageTime({ page }: PanelPage, selector: string, value: string | null): Promise<Time> {
  const session = await watch(page);
  const before = await threadTime(session);
  const clock = await page.evaluate(
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
  const processor = (await threadTime(session)) - before;
  await session.detach();
  return { processor, clock };
}

/**
 * A new page until its first state is drawn. The clock runs from the moment when its script has come until it asks for
 * its state, and from the state's arrival to the second frame: what the browser's driver takes between is no editor's.
 */
export async function paintTime(browser: PanelBrowser, name: PanelName, state: unknown): Promise<Time> {
  let session: CDPSession | undefined;
  const panel = await browser.open(name, {
    ...SIZE,
    async watch(page) {
      session = await watch(page);
    },
  });
  const clock = await panel.page.evaluate(async (value) => {
    const { editor } = window as unknown as { editor: { readyAt: number } };
    const scripts = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
    const came = Math.max(...scripts.map(({ responseEnd }) => responseEnd));
    const began = performance.now();
    window.postMessage({ type: 'state', state: value }, '*');
    for (let frame = 0; frame < 3; frame++) await new Promise((done) => requestAnimationFrame(done));
    return editor.readyAt - came + performance.now() - began;
  }, state);
  const processor = await threadTime(session!);
  await panel.end();
  return { processor, clock };
}

/** Measures in a browser, prints, and writes `bench/results/NAME.json`. */
export async function record(
  name: string,
  facts: Readonly<Record<string, number>>,
  measure: (browser: PanelBrowser) => Promise<readonly Row[]>,
): Promise<void> {
  const browser = await startBrowser();
  try {
    const load = os.loadavg()[0]!;
    const rows = await measure(browser);
    for (const { action, processor, clock, target } of rows)
      console.log(
        `${action}: ${processor.toFixed(0)} ms of the processor, ${clock.toFixed(0)} on the clock, allowed ${target}`,
      );
    const folder = fileURLToPath(new URL('../results/', import.meta.url));
    mkdirSync(folder, { recursive: true });
    const machine = { processor: os.cpus()[0]?.model ?? '', cores: os.cpus().length };
    const document = { ...machine, load: [load, os.loadavg()[0]!], ...facts, rows };
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(document, null, 2)}\n`);
  } finally {
    await browser.end();
  }
}
