import assert from 'node:assert/strict';
import type { Frame } from 'playwright-core';
import { eventually } from './eventually.ts';
import { tableBehind } from './panels.ts';
import { newestRotated, textByCli } from './run-files.ts';
import { screenshotInEveryTheme } from './screenshots.ts';
import type { Session } from './session.ts';

const PROMPT = 'the fox saw';
const TOKENS = 24;

/** The panel writes what the command line writes, at full precision and by the run, and stops when it is told to. */
export async function compareText({ folder, workbench }: Session): Promise<void> {
  // The newest run of all has no rotation: the panel begins with the newest that has.
  const run = (await newestRotated(folder))!;
  await workbench.command('SpinQuant: Compare Generated Text');
  const panel = await workbench.webview(/^Generated Text/);
  const prompt = panel.getByRole('textbox', { name: 'Prompt' });
  await prompt.fill(PROMPT);
  await tokensField(panel).fill(String(TOKENS));
  await prompt.press('Control+Enter');
  await everyColumn(panel, 'done');
  const { model } = await run.readExperiment();
  const byCli = (from: string) => textByCli(folder, from, PROMPT, TOKENS);
  const expected = [await byCli(model), await byCli(run.dir)];
  assert.deepEqual(
    await panel.locator('.text').allTextContents(),
    expected.map((text) => PROMPT + text),
  );
  assert.match(await panel.locator('.network').last().innerText(), /^W4A4KV4 · done$/m);
  const rows = await tableBehind(panel, 'divergence');
  assert.equal(rows.length, TOKENS);
  assert.equal(await panel.locator('.tokens .token[data-level]').count(), TOKENS);
  await screenshotInEveryTheme(workbench, 'generate');

  await tokensField(panel).fill('500');
  const pressed = panel.evaluate(STOP_AT_FIRST_TOKEN);
  await panel.getByText('Generate', { exact: true }).click();
  await pressed;
  // The first may have ended its text before the click was heard.
  await everyColumn(panel, 'done|stopped', 'stopped');
  assert.equal(await panel.locator('.problem:visible').count(), 0);
}

/** Runs in the panel, which has other types: seen from outside, a fast machine may have written all tokens. */
const STOP_AT_FIRST_TOKEN = `new Promise((resolve) => {
  const observer = new MutationObserver(() => {
    if (!/writes token/.test(document.querySelector('.activity').textContent)) return;
    observer.disconnect();
    [...document.querySelectorAll('.buttons > *')].find((one) => one.textContent === 'Stop').click();
    resolve();
  });
  observer.observe(document.body, { subtree: true, childList: true, characterData: true });
})`;

const tokensField = (panel: Frame) => panel.getByRole('spinbutton', { name: 'Tokens' });

/** @param last of the second column, which comes after the first. */
function everyColumn(panel: Frame, status: string, last = status) {
  return eventually(
    `both columns are ${status}`,
    () => panel.locator('.network').evaluateAll((all) => all.map((one) => one.getAttribute('data-status'))),
    ([first, second, ...others]) =>
      others.length === 0 && status.split('|').includes(first ?? '') && second === last,
  );
}

/** What the panel keeps over a reload. */
export async function typedPrompt(panel: Frame): Promise<string> {
  return panel.getByRole('textbox', { name: 'Prompt' }).inputValue();
}
