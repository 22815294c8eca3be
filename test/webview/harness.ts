/** Opens one panel alone in headless Chromium, with a stub of the editor, under the policy it has there. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { type Browser, type CDPSession, chromium, type Page } from 'playwright-core';
import { buildWebview } from '../../scripts/build-webview.mjs';
import { chromiumHere, NO_CHROMIUM } from '../../scripts/workbench/chromium.ts';
import { panelPage } from '../../src/extension/panels/page.ts';
import type { PanelName } from '../../src/protocol/panels/registry.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ORIGIN = 'https://panel.invalid';
/** Plain JavaScript: it runs in the page, where no loader of ours is. */
const STUB = fileURLToPath(new URL('./stub-editor.js', import.meta.url));
const SCREENSHOTS = join(ROOT, 'build', 'screenshots');

export const THEME_NAMES = ['light', 'dark', 'high-contrast', 'high-contrast-light'] as const;
export type ThemeName = (typeof THEME_NAMES)[number];
interface ThemeTokens {
  readonly bodyClass: string;
  readonly tokens: Readonly<Record<string, string>>;
}
/** The values of VS Code's default themes, as its workbench writes them into a webview. */
const THEMES = JSON.parse(readFileSync(new URL('./themes.json', import.meta.url), 'utf8')) as Record<
  ThemeName,
  ThemeTokens
>;

const CAN_DRAW = chromiumHere() !== null;
let toldWhyNot = false;

/** A test that draws. Without a browser all those of a file are skipped in one line. */
export function drawn(name: string, work: () => Promise<void>): void {
  if (CAN_DRAW) {
    test(name, work);
    return;
  }
  if (!toldWhyNot) test('panels in Chromium', { skip: NO_CHROMIUM });
  toldWhyNot = true;
}

/** The browser of a test file, from its first test to its last. Tests that draw are skipped where there is none. */
export function browserFor(
  prepare: (browser: PanelBrowser) => Promise<void>,
): Pick<PanelBrowser, 'open' | 'show' | 'runsFolder'> {
  let browser: PanelBrowser | undefined;
  before(async () => {
    if (!CAN_DRAW) return;
    browser = await startBrowser();
    await prepare(browser);
  });
  after(() => browser?.end());
  return {
    open: (...given) => browser!.open(...given),
    show: (...given) => browser!.show(...given),
    runsFolder: () => browser!.runsFolder(),
  };
}

/** Bundles the panels into a folder of their own and starts a browser. */
export async function startBrowser(): Promise<PanelBrowser> {
  const folder = await mkdtemp(join(tmpdir(), 'spinquant-webview-'));
  await buildWebview(build, folder);
  const browser = await chromium.launch({ executablePath: chromiumHere()!, args: ['--no-sandbox'] });
  return new PanelBrowser(browser, folder);
}

export interface OpenOptions {
  readonly theme?: ThemeName;
  readonly width?: number;
  readonly height?: number;
  /** The webview kept this before a reload. */
  readonly kept?: unknown;
  /** Looks at the page from its beginning. */
  watch?(page: Page): Promise<void>;
}

export class PanelBrowser {
  readonly #browser: Browser;
  readonly #folder: string;

  constructor(browser: Browser, folder: string) {
    this.#browser = browser;
    this.#folder = folder;
  }

  /** A folder for runs. */
  async runsFolder(): Promise<string> {
    return join(await mkdtemp(join(this.#folder, 'workspace-')), '.spinquant', 'runs');
  }

  /** Closes the browser and deletes its folders. */
  async end(): Promise<void> {
    await this.#browser.close();
    await rm(this.#folder, { recursive: true });
  }

  /** Opens the panel and draws a state. */
  async show(bundle: PanelName, state: unknown, options: OpenOptions = {}): Promise<PanelPage> {
    const panel = await this.open(bundle, options);
    await panel.send(state);
    return panel;
  }

  /** Opens the panel and waits until it asks for its state. */
  async open(bundle: PanelName, options: OpenOptions = {}): Promise<PanelPage> {
    const { theme = 'light', width = 900, height = 820, kept = null } = options;
    const context = await this.#browser.newContext({ viewport: { width, height }, locale: 'en' });
    const page = await context.newPage();
    await options.watch?.(page);
    await page.addInitScript(`globalThis.stubOptions = ${JSON.stringify({ kept, theme: THEMES[theme] })};`);
    await page.addInitScript({ path: STUB });
    await page.route('**/*', async (route) => {
      const name = new URL(route.request().url()).pathname.slice(1);
      if (name === '') await route.fulfill({ contentType: 'text/html', body: pageOf(bundle) });
      else await route.fulfill({ contentType: typeOf(name), body: await readFile(join(this.#folder, name)) });
    });
    const panel = new PanelPage(page);
    await page.goto(`${ORIGIN}/`);
    await panel.intentOf('ready');
    return panel;
  }
}

function pageOf(bundle: string): string {
  return panelPage({
    title: bundle,
    locale: 'en',
    cspSource: ORIGIN,
    nonce: 'bm9uY2U=',
    script: `${ORIGIN}/${bundle}.js`,
    style: `${ORIGIN}/${bundle}.css`,
  });
}

const typeOf = (name: string): string => (name.endsWith('.css') ? 'text/css' : 'text/javascript');

/** The stub of the editor gathers this in the page. */
interface EditorWindow extends Window {
  editor: { intents: { type: string }[]; kept: unknown; violations: string[] };
}

export class PanelPage {
  readonly page: Page;

  /** Errors and warnings of the page. */
  readonly errors: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('pageerror', (error) => this.errors.push(String(error.stack ?? error)));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.errors.push(message.text());
    });
  }

  /** Sends a state and waits until it is drawn, out of sight too. */
  async send(state: unknown): Promise<void> {
    await this.page.evaluate((value) => window.postMessage({ type: 'state', state: value }, '*'), state);
    await this.settle();
  }

  /** Intents so far, without `ready`. */
  async intents(): Promise<readonly { readonly type: string }[]> {
    const all = await this.page.evaluate(() => (window as unknown as EditorWindow).editor.intents);
    return all.filter(({ type }) => type !== 'ready');
  }

  /** Waits for an intent of a type and gives the last one. The page's policy forbids Playwright's own waiting. */
  async intentOf(type: string): Promise<unknown> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const all = await this.page.evaluate(() => (window as unknown as EditorWindow).editor.intents);
      const found = all.findLast((intent) => intent.type === type);
      if (found) return found;
      await this.page.waitForTimeout(25);
    }
    throw new Error(`The panel sent no intent "${type}". ${this.errors.join(' ')}`);
  }

  kept(): Promise<unknown> {
    return this.page.evaluate(() => (window as unknown as EditorWindow).editor.kept);
  }

  /** As the editor does when the person picks another theme. */
  async setTheme(theme: ThemeName): Promise<void> {
    await this.page.evaluate(({ bodyClass, tokens }) => {
      const { style } = document.documentElement;
      for (const name of [...style]) style.removeProperty(name);
      for (const [name, value] of Object.entries(tokens)) style.setProperty(name, value);
      document.body.className = bodyClass;
    }, THEMES[theme]);
    await this.page.waitForTimeout(100);
  }

  /** Writes `build/screenshots/<name>.png`: the whole page, once its charts have the colours of the theme. */
  async screenshot(name: string): Promise<void> {
    await this.settle();
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.page.mouse.move(0, 0);
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
  }

  /** Waits until what was asked for is drawn. */
  async settle(): Promise<void> {
    await this.page.evaluate(async () => {
      do {
        for (let frame = 0; frame < 3; frame++) await new Promise((done) => requestAnimationFrame(done));
      } while (document.querySelector('.plot[aria-busy=true]'));
    });
  }

  /** Shows states one after the other. @returns milliseconds of processor time that the page's thread took for each. */
  async timeToShow(states: readonly unknown[]): Promise<number> {
    const session = await this.page.context().newCDPSession(this.page);
    // Not time on the clock: other work on the machine must not count.
    await session.send('Performance.enable', { timeDomain: 'threadTicks' });
    const began = await threadSeconds(session);
    for (const state of states) await this.send(state);
    const seconds = (await threadSeconds(session)) - began;
    await session.detach();
    return (1000 * seconds) / states.length;
  }

  /** Closes the panel. Nothing may have gone wrong in it, and nothing may have broken its policy. */
  async end(): Promise<void> {
    const violations = await this.page.evaluate(() => (window as unknown as EditorWindow).editor.violations);
    await this.page.context().close();
    assert.deepEqual(violations, [], 'breaches of the content security policy');
    assert.deepEqual(this.errors, [], 'errors and warnings in the page');
  }
}

async function threadSeconds(session: CDPSession): Promise<number> {
  const { metrics } = await session.send('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'TaskDuration')!.value;
}
