/**
 * How long does the layers panel take with 32 layers of 4096 channels: to be read and painted, to be shown again, and to
 * go to another layer?
 *
 * The host reads a run that the engine's own writers have written. The page is the panel's own, as for the results panel.
 * A panel that was hidden is made anew, from statistics that the host still has.
 *
 * Usage: node --import tsx bench/panels/layers.bench.ts
 */
import { statSync } from 'node:fs';
import { makeLargeRun } from '../../scripts/fixtures/make-large-run.mts';
import { openRun } from '../../src/runs/index.ts';
import { layersOf, layersRead } from '../../test/webview/states.ts';
import { hostTime, paintTime, record, several, type Time } from './measure.ts';

const together = (a: Time, b: Time): Time => ({
  processor: a.processor + b.processor,
  clock: a.clock + b.clock,
});

await record('layers-panel', { layers: 32, channels: 4096 }, async (browser) => {
  const dir = await makeLargeRun(await browser.runsFolder());
  const bytes = statSync((await openRun(dir)).path('activations')).size;
  console.log(`${(bytes / 1e6).toFixed(1)} MB of statistics`);
  const state = await layersOf(dir);
  const known = await layersRead(dir);
  const paint = () => paintTime(browser, 'layers', state);
  return [
    await several('read and paint, nothing known', 1000, async () =>
      together(await hostTime(() => layersOf(dir)), await paint()),
    ),
    await several('of it, read', 1000, () => hostTime(() => layersOf(dir))),
    await several('show a hidden panel again', 500, async () =>
      together(await hostTime(async () => known({ layer: 7, site: 'down-input' })), await paint()),
    ),
  ];
});
