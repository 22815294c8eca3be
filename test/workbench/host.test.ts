/** The mocha suite of host/ inside the real extension host; each of its tests is reported as one here. */
import { test } from 'node:test';
import { HOST_SIZE } from './rig/experiment.ts';
import { runHostSuite } from './rig/host-run.ts';
import { reasonToSkip } from './rig/rig.ts';
import { createWorkspace } from './rig/workspace.ts';

for (const release of ['newest', 'oldest'] as const)
  test(`in the extension host of the ${release} VS Code`, async (t) => {
    const reason = await reasonToSkip(release);
    if (reason) return t.skip(reason);
    const workspace = createWorkspace(HOST_SIZE);
    try {
      for (const { title, error } of await runHostSuite(workspace.folder, { release }))
        await t.test(title, () => {
          if (error) throw new Error(error);
        });
    } finally {
      workspace.remove();
    }
  });
