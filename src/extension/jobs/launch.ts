import { join } from 'node:path';
import { SETTINGS } from '../../protocol/ids.ts';
import type { ExperimentOverrides } from '../../protocol/worker.ts';
import { settingsFor } from '../settings.ts';
import type { WorkerLaunch } from './client.ts';

/** The start of the worker, by the settings. Without a Node of its own it runs in the editor's. */
export function workerLaunch(extensionPath: string, log: (line: string) => void): WorkerLaunch {
  const settings = settingsFor(null);
  const nodePath = settings.get<string>(SETTINGS.nodePath) ?? '';
  const memoryMiB = settings.get<number | null>(SETTINGS.workerMemoryLimit) ?? null;
  const { NODE_OPTIONS: _debuggers, ...environment } = process.env;
  return {
    command: nodePath === '' ? process.execPath : nodePath,
    args: [
      ...(memoryMiB === null ? [] : [`--max-old-space-size=${memoryMiB}`]),
      '--enable-source-maps',
      join(extensionPath, 'dist', 'worker.js'),
    ],
    // The desktop's process is Electron, which is Node only when told so; plain Node ignores it.
    env: { ...environment, ELECTRON_RUN_AS_NODE: '1' },
    log,
  };
}

/** @param experiment whose folder's settings count; null where none is known. */
export function experimentOverrides(experiment: string | null): ExperimentOverrides {
  const settings = settingsFor(experiment);
  const device = settings.get<'auto' | 'cpu' | 'webgpu' | 'cuda'>(SETTINGS.device) ?? 'auto';
  const runs = settings.get<string>(SETTINGS.runsFolder) ?? '';
  return {
    device: device === 'auto' ? null : device,
    threads: settings.get<number | null>(SETTINGS.threads) ?? null,
    runs: runs === '' ? null : runs,
  };
}
