import type { Size } from '../rig/experiment.ts';
import { type Rig, ROOT, startRig } from '../rig/rig.ts';
import { Workbench } from '../rig/workbench.ts';
import { createWorkspace, type TestWorkspace } from '../rig/workspace.ts';

/** A person in front of the workbench, with a folder open: that of the demo unless said. */
export interface Session {
  readonly folder: string;
  readonly rig: Rig;
  readonly workbench: Workbench;
  /** Breaches of a panel's content security policy, and errors that nothing caught. */
  readonly complaints: readonly string[];
  end(): Promise<void>;
}

/** Long enough to see its curve grow, and to kill its worker in between. */
export const SIZE: Size = { steps: 100, batchSize: 8, sequenceLength: 128 };

/** Lenses and panels side by side need the width. */
const SETTINGS = { 'workbench.colorTheme': 'Light Modern', 'editor.minimap.enabled': false };

/** @param env of the server, and so of the extension host. */
export async function startSession(
  { folder, remove }: TestWorkspace = createWorkspace(SIZE),
  env: Readonly<Record<string, string>> = {},
): Promise<Session> {
  try {
    const rig = await startRig({ extensions: [ROOT], settings: SETTINGS, env });
    const end = async () => {
      await rig.stop();
      remove();
    };
    const complaints = collectComplaints(rig);
    const workbench = new Workbench(rig.page);
    try {
      await workbench.open(rig.server.url(folder));
      await awaitWebviews(workbench);
    } catch (error) {
      await end();
      throw error;
    }
    return { folder, rig, workbench, complaints, end };
  } catch (error) {
    remove();
    throw error;
  }
}

/**
 * A window's first webview waits for a service worker of the workbench, in some windows without end: one that is loaded
 * again has it.
 */
async function awaitWebviews(workbench: Workbench): Promise<void> {
  for (let look = 1; ; look++) {
    await workbench.command('SpinQuant: Show Results');
    const stands = await workbench.webview(/^Results/, 15_000).catch((error: Error) => error);
    if (!(stands instanceof Error)) break;
    if (look === 3) throw stands;
    await workbench.reload();
  }
  await workbench.command('View: Close All Editors');
}

function collectComplaints({ page }: Rig): string[] {
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  return complaints;
}
