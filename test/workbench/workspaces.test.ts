/** Folders in which the worker may not run, in the real extension host; each test there is reported as one here. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SETTINGS } from '../../src/protocol/ids.ts';
import { HOST_SIZE } from './rig/experiment.ts';
import { type HostRunOptions, runHostSuite } from './rig/host-run.ts';
import { reasonToSkip, screenshot } from './rig/rig.ts';
import { createVirtualFolder } from './rig/virtual-folder.ts';
import { createWorkspace } from './rig/workspace.ts';

/** With these settings a folder could ask to have a program of its own run. */
const GREEDY = {
  [SETTINGS.nodePath]: '/bin/false',
  [SETTINGS.workerMemoryLimit]: 300,
  [SETTINGS.threads]: 3,
};

test('a folder that is not trusted', async (t) => {
  const workspace = createWorkspace(HOST_SIZE);
  try {
    mkdirSync(join(workspace.folder, '.vscode'));
    writeFileSync(join(workspace.folder, '.vscode', 'settings.json'), JSON.stringify(GREEDY));
    await report(t, workspace.folder, {
      suite: 'restricted',
      look: sees('untrusted', /This folder is not trusted: its experiments can be edited, but not run\./),
    });
  } finally {
    workspace.remove();
  }
});

test('a folder that is on no disk', async (t) => {
  const folder = await createVirtualFolder();
  try {
    await report(t, folder.uri, {
      suite: 'virtual',
      helpers: [folder.helper],
      look: sees('virtual', /This folder is not on a disk, and the models, texts and runs/),
    });
  } finally {
    folder.remove();
  }
});

/** The views, which the suites leave open, welcome the person with these words. */
function sees(name: string, words: RegExp): NonNullable<HostRunOptions['look']> {
  return async ({ page }) => {
    const welcome = page.locator('.welcome-view-content', { hasText: words }).first();
    await welcome.waitFor({ timeout: 15_000 }).finally(() => screenshot(page, `${name}-light`));
  };
}

async function report(t: TestContext, folder: string, options: HostRunOptions): Promise<void> {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  for (const { title, error } of await runHostSuite(folder, options))
    await t.test(title, () => {
      if (error) throw new Error(error);
    });
}
