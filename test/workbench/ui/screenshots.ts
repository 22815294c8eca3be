import { screenshot } from '../rig/rig.ts';
import type { Workbench } from '../rig/workbench.ts';

/** Themes by the word in a screenshot's name: their title, and the class that the workbench then has. */
const THEMES = {
  dark: ['Dark Modern', 'vs-dark'],
  contrast: ['Dark High Contrast', 'hc-black'],
  light: ['Light Modern', 'vs'],
} as const;
/** Charts draw themselves anew in the colours of a theme. */
const REDRAW_MS = 700;

/**
 * Keeps `build/screenshots/<name>-<theme>.png` for every theme, and ends in the light one.
 * @param show brings into view what choosing a theme sends away, as it does with a walkthrough.
 */
export async function screenshotInEveryTheme(
  workbench: Workbench,
  name: string,
  show?: () => Promise<void>,
): Promise<void> {
  const { page } = workbench;
  for (const [theme, [title, className]] of Object.entries(THEMES)) {
    await workbench.command('Preferences: Color Theme');
    await workbench.pick(title);
    await page.locator(`.monaco-workbench.${className}`).first().waitFor();
    await show?.();
    await page.waitForTimeout(REDRAW_MS);
    await screenshot(page, `${name}-${theme}`);
  }
}
