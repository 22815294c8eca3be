import assert from 'node:assert/strict';
import { screenshot } from '../rig/rig.ts';
import type { Workbench } from '../rig/workbench.ts';

/** Themes by the word in a screenshot's name: their title, and the class that the workbench then has. */
const THEMES = {
  dark: ['Dark Modern', 'vs-dark'],
  contrast: ['Dark High Contrast', 'hc-black'],
  'contrast-light': ['Light High Contrast', 'hc-light'],
  light: ['Light Modern', 'vs'],
} as const;
/** Of a window, in pixels, beside the one that the tests have. */
const WIDTHS = process.env.EVERY_WIDTH === '1' ? [400, 700, 1400] : [];
/** Charts draw themselves anew in the colours of a theme. */
const REDRAW_MS = 700;

/**
 * Keeps `build/screenshots/<name>-<theme>.png` for every theme, and ends in the light one.
 * @param show brings into view what choosing a theme or another width sends away, as it does with a walkthrough.
 */
export async function screenshotInEveryTheme(
  workbench: Workbench,
  name: string,
  show?: () => Promise<void>,
): Promise<void> {
  await inEveryTheme(workbench, (theme) => look(workbench, `${name}-${theme}`, show));
}

/** The same, with EVERY_WIDTH=1 at the widths of small windows, too, as `<name>-<width>-<theme>.png`. */
export async function screenshotAtEveryWidth(
  workbench: Workbench,
  name: string,
  show?: () => Promise<void>,
): Promise<void> {
  const { page } = workbench;
  const size = page.viewportSize();
  assert.ok(size);
  await inEveryTheme(workbench, async (theme) => {
    await look(workbench, `${name}-${theme}`, show);
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: size.height });
      await look(workbench, `${name}-${width}-${theme}`, show);
    }
    // The list of themes needs the width.
    await page.setViewportSize(size);
  });
}

async function inEveryTheme(workbench: Workbench, look: (theme: string) => Promise<void>): Promise<void> {
  for (const [theme, [title, className]] of Object.entries(THEMES)) {
    await workbench.command('Preferences: Color Theme');
    await workbench.pick(title);
    await workbench.page.locator(`.monaco-workbench.${className}`).first().waitFor();
    await look(theme);
  }
}

async function look({ page }: Workbench, file: string, show?: () => Promise<void>): Promise<void> {
  await show?.();
  await page.waitForTimeout(REDRAW_MS);
  await screenshot(page, file);
}
