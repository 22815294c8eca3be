/** `npm run test:electron`: the suite of host/ in the desktop's VS Code, which is downloaded. For open networks. */
import { runTests } from '@vscode/test-electron';
import { HOST_SIZE } from './rig/experiment.ts';
import { buildHostSuite } from './rig/host-run.ts';
import { ROOT } from './rig/rig.ts';
import { createWorkspace } from './rig/workspace.ts';

const workspace = createWorkspace(HOST_SIZE);
try {
  await runTests({
    extensionDevelopmentPath: ROOT,
    extensionTestsPath: await buildHostSuite(),
    launchArgs: [workspace.folder, '--disable-extensions', '--disable-workspace-trust', '--skip-welcome'],
    ...(process.argv[2] ? { version: process.argv[2] } : {}),
  });
} catch (error) {
  console.error((error as Error).message);
  if (process.platform === 'linux' && !process.env.DISPLAY)
    console.error('VS Code needs a display: run this under `xvfb-run -a`.');
  process.exitCode = 1;
} finally {
  workspace.remove();
}
