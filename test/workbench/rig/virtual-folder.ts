import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { ROOT } from './rig.ts';

/** Scheme of the folder that the helper provides. */
export const SCHEME = 'spinquant-test';

export interface VirtualFolder {
  readonly uri: string;
  /** Folder of the extension that provides it. */
  readonly helper: string;
  remove(): void;
}

/** An extension that keeps a folder with an experiment in memory, as one for a remote repository would. */
export async function createVirtualFolder(): Promise<VirtualFolder> {
  const helper = mkdtempSync(join(tmpdir(), 'spinquant-virtual-'));
  const manifest = {
    name: 'virtual-folder',
    publisher: 'spinquant-test',
    version: '0.0.1',
    engines: { vscode: '^1.100.0' },
    main: './main.cjs',
    extensionKind: ['workspace'],
    activationEvents: [`onFileSystem:${SCHEME}`],
    capabilities: { virtualWorkspaces: true, untrustedWorkspaces: { supported: true } },
  };
  writeFileSync(join(helper, 'package.json'), JSON.stringify(manifest));
  await build({
    entryPoints: [join(ROOT, 'test', 'workbench', 'rig', 'memory-files.ts')],
    outfile: join(helper, 'main.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['vscode'],
    logLevel: 'warning',
  });
  return { uri: `${SCHEME}:/lab`, helper, remove: () => rmSync(helper, { recursive: true, force: true }) };
}
