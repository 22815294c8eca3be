import assert from 'node:assert/strict';
import { allEvents, comparedAfter, generatedOf, SETTINGS, strings } from './generated.ts';
import { browserFor, drawn, type OpenOptions, type PanelPage, THEME_NAMES } from './harness.ts';

const browser = browserFor(async () => {});
const opened = (options?: OpenOptions) => browser.show('generate', generatedOf(), options);
const waiting = () => generatedOf({ comparison: null });

const levelsOf = ({ page }: PanelPage, network: number): Promise<(string | null)[]> =>
  page
    .locator(`#network-${network} .tokens .token`)
    .evaluateAll((tokens) => tokens.map((token) => token.getAttribute('data-level')));

drawn('columns with their numbers, texts and coloured tokens', async () => {
  const panel = await opened();
  const names = await panel.page.locator('.network h2').allInnerTexts();
  assert.deepEqual(
    names.map((name) => name.replace(/\s+/g, ' ')),
    ['Full precision', 'A quick 21 Nov, 19:45', 'B nearest, without rotations'],
  );
  const numbers = await panel.page.locator('.network').nth(1).locator('dd').allInnerTexts();
  assert.deepEqual(numbers.slice(0, 5), ['62.5 tokens/s', '421 tokens/s', '91.6 MiB', '6.0 KiB', '4.900']);
  assert.match(numbers[5]!, /^[−+]\d\.\d\d nats$/);
  const levels = await levelsOf(panel, 1);
  assert.deepEqual(levels.slice(0, 10), ['0', '-1', '1', '-2', '2', '-3', '3', '0', '0', '-1']);
  const other = await panel.page.locator('#network-1 .other').innerText();
  assert.ok(other.length > 0 && other.length < 120, `differs at the end: ${other}`);
  assert.equal(await panel.page.locator('#network-0 .tokens').count(), 0);
  await panel.end();
});

drawn('a token is read by pointer and by keys, and the chart goes along; nothing moves', async () => {
  const panel = await opened();
  const { page } = panel;
  const place = () =>
    page.evaluate(() => document.querySelector('#divergence')!.getBoundingClientRect().y + scrollY);
  const before = await place();
  const tokens = page.locator('#network-1 .tokens .token');
  await tokens.nth(3).hover();
  const readout = page.locator('#network-1 .token-readout');
  assert.match(
    await readout.innerText(),
    /^token 4 “ little”: Δ −0\.80 \(full precision −\d\.\d\d, this run −\d\.\d\d\), KL 0\.49$/,
  );
  assert.match(await page.locator('#network-2 .token-readout').innerText(), /^token 4 “ little”: Δ −1\.60/);
  assert.match(
    await page.locator('#divergence .readout').innerText(),
    /^token 4 “ little”: A 0\.490 · B 0\.970$/,
  );
  assert.equal(await place(), before);
  await page.mouse.move(0, 0);
  await page.getByRole('listbox').first().focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  assert.match(await readout.innerText(), /^token 2 “ was”/);
  const active = await page.locator('#network-1 .tokens').getAttribute('aria-activedescendant');
  assert.equal(active, 'network-1-1');
  await page.keyboard.press('End');
  assert.match(await readout.innerText(), /“ \.”/);
  await page.keyboard.press('Escape');
  assert.equal(await readout.innerText(), strings.readoutHint);
  await panel.end();
});

drawn('the chart has a line of each run, and a table of all numbers', async () => {
  const panel = await opened();
  const { page } = panel;
  assert.equal(await page.locator('#divergence .mark-line path').count(), 2);
  await page.getByRole('button', { name: 'Show KL divergence along the text as a table' }).click();
  const row = page.locator('#divergence tbody tr').nth(3);
  assert.deepEqual(await row.locator('> *').allInnerTexts(), [
    '4',
    '“ little”',
    '−2.60',
    '−0.80',
    '0.490',
    '−1.60',
    '0.970',
  ]);
  const kept = (await panel.kept()) as { toggles: { asTable: boolean } };
  assert.equal(kept.toggles.asTable, true);
  await panel.end();
});

drawn('Ctrl+Enter and the button generate with what the fields say; Stop stops', async () => {
  const panel = await browser.show('generate', waiting());
  const { page } = panel;
  const prompt = page.getByRole('textbox', { name: 'Prompt' });
  assert.equal(await prompt.inputValue(), 'Once upon a time');
  await prompt.fill('The fox');
  await page.getByRole('spinbutton', { name: 'Tokens' }).fill('20');
  await prompt.press('Control+Enter');
  const settings = { ...SETTINGS, prompt: 'The fox', tokens: 20 };
  assert.deepEqual(await panel.intentOf('generate'), { type: 'generate', settings });
  await panel.send(generatedOf({ running: true, comparison: comparedAfter(10) }));
  const stop = page.getByRole('button', { name: 'Stop' });
  await stop.click();
  assert.deepEqual(await panel.intentOf('stop'), { type: 'stop' });
  assert.match(await page.locator('.activity').innerText(), /^Full precision: writes token 7 of \d+$/);
  await panel.send(waiting());
  assert.ok(await page.getByRole('button', { name: 'Generate' }).isVisible());
  assert.ok(!(await stop.isVisible()));
  await panel.end();
});

drawn(
  'a field out of its range says so, and nothing is generated; what is not used cannot be changed',
  async () => {
    const panel = await browser.show('generate', waiting());
    const { page } = panel;
    const seed = page.getByRole('spinbutton', { name: 'Seed' });
    assert.ok(await seed.isDisabled(), 'temperature 0');
    await page.getByRole('spinbutton', { name: 'Temperature' }).fill('0.8');
    assert.ok(await seed.isEnabled());
    await page.getByRole('spinbutton', { name: 'Tokens' }).fill('9000');
    await page.getByRole('button', { name: 'Generate' }).click();
    await panel.settle();
    assert.deepEqual(await panel.intents(), []);
    assert.ok(await page.locator('input:invalid').evaluate((input) => input === document.activeElement));
    await panel.end();
  },
);

drawn('prompt and settings are kept over a reload; runs are added and removed', async () => {
  const draft = { prompt: 'Kept', tokens: '7', temperature: '0.5', topP: '0.9', seed: '3' };
  const kept = { remembered: null, toggles: { draft, asTable: false } };
  const panel = await browser.show('generate', waiting(), { kept });
  const { page } = panel;
  await page.getByRole('button', { name: 'Generate' }).click();
  const drawing = { topK: 0, topP: 0.9, minP: 0, repetitionPenalty: 1, seed: 3 };
  const settings = { prompt: 'Kept', tokens: 7, temperature: 0.5, ...drawing, stop: '', chat: false };
  assert.deepEqual(await panel.intentOf('generate'), { type: 'generate', settings });
  await page.getByRole('spinbutton', { name: 'Top-k' }).fill('40');
  await page.getByRole('spinbutton', { name: 'Min-p' }).fill('0.05');
  await page.getByRole('spinbutton', { name: 'Repetition penalty' }).fill('1.2');
  await page.getByRole('textbox', { name: 'Stop before' }).fill('The end');
  await page.getByRole('checkbox', { name: 'Chat template' }).check();
  await page.getByRole('button', { name: 'Generate' }).click();
  const more = { topK: 40, minP: 0.05, repetitionPenalty: 1.2, stop: 'The end', chat: true };
  assert.deepEqual((await panel.intents()).at(-1), { type: 'generate', settings: { ...settings, ...more } });
  await page.getByRole('textbox', { name: 'Prompt' }).fill('Kept on');
  assert.equal(((await panel.kept()) as typeof kept).toggles.draft.prompt, 'Kept on');
  await page.getByRole('button', { name: 'Add run…' }).click();
  assert.deepEqual(await panel.intentOf('add-run'), { type: 'add-run' });
  await page.getByRole('button', { name: 'Remove nearest, without rotations' }).click();
  assert.deepEqual(await panel.intentOf('remove-run'), { type: 'remove-run', run: '/runs/rtn' });
  await panel.end();
});

drawn('while text streams, what is there stays where it is', async () => {
  const panel = await browser.show('generate', generatedOf({ running: true, comparison: comparedAfter(3) }));
  const { page } = panel;
  await page.evaluate(() => {
    Object.assign(window, { changed: 0 });
    new MutationObserver((changes) => {
      for (const { removedNodes } of changes)
        for (const node of removedNodes)
          if (node instanceof HTMLElement) (window as unknown as { changed: number }).changed++;
    }).observe(document.querySelector('.networks')!, { childList: true, subtree: true });
  });
  const { length } = allEvents();
  const states = Array.from({ length: 12 }, (_, step) =>
    generatedOf({
      running: true,
      comparison: comparedAfter(3 + Math.ceil(((length - 3) * (step + 1)) / 12)),
    }),
  );
  const top = async () => (await page.locator('.networks').boundingBox())!.y;
  const before = await top();
  const each = await panel.timeToShow(states);
  assert.equal(await top(), before);
  assert.equal(
    await page.evaluate(() => (window as unknown as { changed: number }).changed),
    0,
    'elements removed',
  );
  assert.ok(each < 100, `a state took ${each.toFixed(0)} ms: ten a second come`);
  console.log(`    ${each.toFixed(0)} ms of processor time per state of three columns`);
  await panel.end();
});

drawn('faults stand in the panel, or in the column that has them', async () => {
  const panel = await browser.show('generate', generatedOf({ comparison: null, problem: strings.noPrompt }));
  assert.match(await panel.page.getByRole('alert').innerText(), /The prompt is empty/);
  const comparison = comparedAfter(0);
  comparison.hear([
    {
      type: 'column',
      column: 2,
      event: { type: 'failed', message: 'Its weights are gone.', hint: 'Run it again.' },
    },
  ]);
  await panel.send(generatedOf({ comparison }));
  assert.match(
    await panel.page.locator('#network-2 .problem').innerText(),
    /Its weights are gone\.\s*Run it again\./,
  );
  await panel.end();
});

drawn('no runs: what will be here', async () => {
  const panel = await browser.show('generate', generatedOf({ hasRuns: false, chosen: [], comparison: null }));
  await panel.page.getByRole('button', { name: 'Optimize rotation' }).click();
  assert.deepEqual(await panel.intentOf('begin'), { type: 'begin', what: 'optimize' });
  await panel.end();
});

drawn('screenshots in every theme, and narrow', async () => {
  for (const theme of THEME_NAMES) {
    const panel = await opened({ theme });
    await panel.screenshot(`generate-${theme}`);
    await panel.end();
  }
  const narrow = await opened({ width: 400 });
  await narrow.screenshot('generate-narrow-light');
  assert.ok(await narrow.page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
  await narrow.end();
  const empty = await browser.show('generate', waiting());
  await empty.screenshot('generate-waiting-light');
  await empty.end();
});
