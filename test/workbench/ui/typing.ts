import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Frame } from 'playwright-core';
import { openRun } from '../../../src/runs/index.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { screenshot } from '../rig/rig.ts';
import { eventually } from './eventually.ts';
import { lossesOf, newestRun } from './run-files.ts';
import type { Session } from './session.ts';

/** Steps on captured activations: milliseconds each. */
const FAST = 'fast.spinquant.json';
const STEPS = 20_000;
/** Behind so many steps a curve is thinned out. */
const LONG = 2000;
const KEYS = 60;
/** A person types ten letters a second at most. */
const BETWEEN_KEYS_MS = 100;

/** Runs in the page, which has other types: from the press of each key to the frame that has its letter. */
const TIME_KEYS = `
  globalThis.keyTimes = [];
  document.addEventListener('keydown', ({ timeStamp }) => {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => keyTimes.push(performance.now() - timeStamp);
      port2.postMessage(null);
    });
  }, { capture: true });
`;

/** Runs in the panel: changes of the line of the loss in three seconds. */
const COUNT_CHANGES = `new Promise((resolve) => {
  let count = 0;
  const observer = new MutationObserver(() => count++);
  const filter = { subtree: true, attributes: true, attributeFilter: ['d'] };
  observer.observe(document.querySelector('#loss .steps_marks'), filter);
  setTimeout(() => {
    observer.disconnect();
    resolve(count);
  }, 3000);
})`;

/**
 * Typing beside a run of thousands of steps, a hundred or more a second, while its curves are drawn. Times of keys are told,
 * not tested: they are those of the machine, too. Below 50 ms, a letter stands as soon as it is pressed.
 */
export async function typeBesideRun({ folder, rig, workbench }: Session): Promise<void> {
  const lab = JSON.parse(readFileSync(join(folder, EXPERIMENT), 'utf8')) as object;
  const learning = { objective: 'peak', steps: STEPS, batchSize: 1 };
  const calibration = { text: 'calibration.txt', samples: 4, sequenceLength: 32 };
  const rotation = { r1: 'learned', r2: 'none', learning };
  writeFileSync(join(folder, FAST), JSON.stringify({ ...lab, calibration, rotation }, null, 2));
  writeFileSync(join(folder, 'notes.txt'), 'Once upon a time');
  await workbench.openFile('notes.txt');
  const idle = await typingTimes(rig.page);
  await workbench.openFile(FAST);
  await workbench.lens('Optimize rotation').click();
  const training = await workbench.webview(/^Training/);
  await training.locator('#loss .plot svg').waitFor({ timeout: 60_000 });
  const shown = async () => Number(/step (\d+)\//.exec(await training.locator('.facts').innerText())?.[1]);
  await eventually('a long curve', shown, (step) => step >= LONG);
  await workbench.showTab(/^notes\.txt/);
  await rig.page.locator('.editor-group-container .view-lines').first().click();
  const [from, began] = [await shown(), performance.now()];
  const busy = await typingTimes(rig.page);
  const pace = ((await shown()) - from) / ((performance.now() - began) / 1000);
  await screenshot(rig.page, 'typing-light');
  console.log(
    `    a key to its letter: ${said(idle)} idle, ${said(busy)} beside ${pace.toFixed(0)} steps/s at ${from} steps`,
  );
  assert.ok(pace > 0, 'its steps were shown meanwhile');
  await drawnAtMostTenTimes(training);
  const run = (await newestRun(folder))!;
  await workbench.command('SpinQuant: Cancel');
  await eventually(
    'it is cancelled',
    async () => (await openRun(run.dir)).record.status,
    (status) => status === 'cancelled',
  );
  const losses = await lossesOf(run);
  assert.ok(losses.length > LONG, `${losses.length} steps`);
}

const medianOf = (times: readonly number[]) => [...times].sort((a, b) => a - b)[times.length >> 1]!;
const said = (times: readonly number[]) =>
  `${medianOf(times).toFixed(0)} ms (at most ${Math.max(...times).toFixed(0)})`;

/** Milliseconds of each key. */
async function typingTimes(page: Session['rig']['page']): Promise<number[]> {
  await page.evaluate(TIME_KEYS);
  for (let key = 0; key < KEYS; key++) {
    await page.keyboard.press(String.fromCharCode(97 + (key % 26)));
    await sleep(BETWEEN_KEYS_MS);
  }
  const times = await page.evaluate<number[]>('keyTimes');
  assert.ok(times.length >= KEYS, `${times.length} keys`);
  return times.slice(-KEYS);
}

/** The line of a live chart changes at most ten times a second. */
async function drawnAtMostTenTimes(training: Frame): Promise<void> {
  const changes = await training.evaluate<number>(COUNT_CHANGES);
  assert.ok(changes >= 1 && changes <= 31, `${changes} changes in three seconds`);
}
