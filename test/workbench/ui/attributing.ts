/** Where the loss goes, and what is done about it, from the layers panel. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'jsonc-parser';
import { EXPERIMENT } from '../rig/experiment.ts';
import { ROOT, screenshot } from '../rig/rig.ts';
import { chooseOption } from './choose-option.ts';
import { eventually } from './eventually.ts';
import { newestRun } from './run-files.ts';
import type { Session } from './session.ts';

const FILE = 'dear.spinquant.json';

/** A run with rotations, made in a terminal. */
export async function makeRun({ folder, workbench }: Session): Promise<void> {
  const lab = JSON.parse(readFileSync(join(folder, EXPERIMENT), 'utf8')) as object;
  const rotation = { r1: 'learned', r2: 'learned', learning: { steps: 3, batchSize: 2 } };
  writeFileSync(join(folder, FILE), JSON.stringify({ ...lab, rotation }, null, 2));
  const cli = [join(ROOT, 'dist', 'cli.js'), 'optimize', FILE];
  await promisify(execFile)(process.execPath, cli, { cwd: folder });
  await workbench.openFile(FILE);
  await workbench.openContainer('SpinQuant Lab');
  await workbench.treeItem('Runs', /^dear/).waitFor();
}

/** The panel says what is missing, starts it, and shows what the worker has found. */
export async function attributeFromPanel({ folder, rig, workbench }: Session): Promise<void> {
  await workbench.command('SpinQuant: Show Layers');
  const layers = await workbench.webview(/^Layers · dear/);
  await layers.getByText('Which layers and sites cost the perplexity').waitFor();
  await layers.getByRole('button', { name: 'Attribute loss…' }).first().click();
  await workbench.choice(/^Estimate\s*Three passes/).click();
  const map = layers.getByRole('slider', { name: /^Rise of the loss by layer and site/ });
  await layers.locator('.loss-found').scrollIntoViewIfNeeded({ timeout: 240_000 });
  await map.locator('svg').waitFor({ timeout: 240_000 });
  const run = (await newestRun(folder))!;
  assert.ok(existsSync(run.path('attribution')), 'kept in the run of the rotations');
  const { cells } = await run.readAttribution();
  const layerSums = Math.max(...cells.map(({ layer }) => layer)) + 1;
  const drawn = map.locator('.mark-rect.role-mark').first().locator('path');
  assert.equal(await drawn.count(), cells.length + layerSums);
  await map.focus();
  await rig.page.keyboard.press('Home');
  await layers.getByRole('heading', { name: /^layer 0 · / }).waitFor();
  await screenshot(rig.page, 'attribution-light');
}

/** What was chosen stands in the file, where it can be looked at before it is saved. */
export async function putIntoExperiment({ folder, workbench }: Session): Promise<void> {
  // They lie over the lower part of the panel.
  await workbench.command('Notifications: Clear All Notifications');
  const layers = await workbench.webview(/^Layers · dear/);
  await chooseOption(layers, 'More bits for', 'down_proj input');
  await layers.getByRole('button', { name: 'Put into experiment…' }).click();
  await workbench.showTab(/^dear\.spinquant\.json/);
  await workbench.command('File: Save');
  const exceptions = await eventually(
    'the exceptions in the file',
    () => {
      const experiment = parse(readFileSync(join(folder, FILE), 'utf8')) as Readonly<
        Record<string, { readonly exceptions?: unknown }>
      >;
      return experiment.quantization?.exceptions;
    },
    (found) => found !== undefined,
  );
  assert.deepEqual(exceptions, [{ sites: 'down', layers: 'worst:4', activations: { bits: 8 } }]);
}
