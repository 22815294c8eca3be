import type { Frame } from 'playwright-core';

/** Chooses from a list of a panel, by its label. The list closes where new data draw the panel anew: it is opened again. */
export async function chooseOption(panel: Frame, label: string, option: string | RegExp): Promise<void> {
  const list = panel.locator('.picker', { hasText: label }).locator('vscode-single-select');
  const row = panel.locator('vscode-single-select .option:visible', { hasText: option }).last();
  for (let looks = 0; looks < 5; looks++) {
    await list.click();
    const chosen = row.click({ timeout: 6000 });
    if (await chosen.then(() => true).catch(() => false)) return;
  }
  throw new Error(`${option} of ${label} cannot be chosen.`);
}
