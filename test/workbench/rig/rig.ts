import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { findChromium } from '../../../scripts/workbench/chromium.ts';
import { installServer, type Release } from '../../../scripts/workbench/install.ts';
import { type Server, type ServerOptions, startServer } from '../../../scripts/workbench/server.ts';
import { Unavailable } from '../../../scripts/workbench/unavailable.ts';
import { openBrowser } from './browser.ts';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/$/, '');
export const SCREENSHOTS = join(ROOT, 'build', 'screenshots');

/** Tests ask no extension gallery. */
const NO_GALLERY = { EXTENSIONS_GALLERY: '{}' };

export interface Rig {
  readonly server: Server;
  readonly page: Page;
  stop(): Promise<void>;
}

/**
 * Installs or finds what the suites need.
 * @returns why they cannot run here, in one line, or null when they can. With CI=true nothing may be left out: throws.
 */
export async function reasonToSkip(release?: Release): Promise<string | null> {
  try {
    await findChromium();
    await installServer(release);
    return null;
  } catch (error) {
    if (!(error instanceof Unavailable) || process.env.CI === 'true') throw error;
    return error.message;
  }
}

/** A server and an empty page of a browser. The caller stops it whatever happens. */
export async function startRig(options: ServerOptions): Promise<Rig> {
  const browser = await openBrowser(await findChromium());
  try {
    const server = await startServer({ ...options, env: { ...NO_GALLERY, ...options.env } });
    const context = await browser.newContext({ viewport: { width: 1600, height: 1000 } });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await context.newPage();
    return {
      server,
      page,
      stop: async () => {
        try {
          await browser.close();
        } finally {
          await server.stop();
        }
      },
    };
  } catch (error) {
    await browser.close();
    throw error;
  }
}

/** Keeps what the page shows as `build/screenshots/<name>.png`. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}
