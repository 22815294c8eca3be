/** The extension as a person uses it: the whole workbench in a browser, real runs. */
import { test } from 'node:test';
import { ROOT, reasonToSkip, screenshot, startRig } from './rig/rig.ts';
import { Workbench } from './rig/workbench.ts';
import { createWorkspace } from './rig/workspace.ts';

test('in the workbench', async (t) => {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  const workspace = createWorkspace();
  const rig = await startRig({ extensions: [ROOT] });
  try {
    const workbench = new Workbench(rig.page);
    await workbench.open(rig.server.url(workspace.folder));
    await t.test('an experiment file opens', async () => {
      await workbench.openFile('quick.spinquant.json');
      await workbench.command('View: Show Explorer');
      await screenshot(rig.page, 'experiment');
    });
  } finally {
    await rig.stop();
    workspace.remove();
  }
});
