/** Chromium's software Vulkan driver: WebGPU for tests on machines without a GPU. */
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chromiumHere } from '../../scripts/workbench/chromium.ts';
import { programArguments } from '../helpers/program.ts';

export const NO_SWIFTSHADER = 'no Chromium with SwiftShader (vk_swiftshader_icd.json) on Linux';

/** Returns an environment in which a process finds SwiftShader and Vulkan's loader; null where none is. */
export function swiftShader(): NodeJS.ProcessEnv | null {
  if (process.platform !== 'linux') return null;
  const chromium = chromiumHere();
  const folders = [
    ...(chromium ? [dirname(realpathSync(chromium))] : []),
    '/usr/lib/chromium',
    '/usr/lib/chromium-browser',
    '/opt/google/chrome',
  ];
  const folder = folders.find((candidate) => existsSync(join(candidate, 'vk_swiftshader_icd.json')));
  if (folder === undefined) return null;
  // Chromium brings the loader too, which a machine without a GPU may lack.
  return { VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: folder };
}

export interface Child {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs test/device/tiny-steps.ts. */
export function tinySteps(device: string, env: NodeJS.ProcessEnv): Promise<Child> {
  return programOn('tiny-steps.ts', [device], env);
}

/** Runs a program of this folder: an environment that names a driver is read once, as a process starts. */
export function programOn(name: string, rest: readonly string[], env: NodeJS.ProcessEnv): Promise<Child> {
  const { VK_DRIVER_FILES: _files, VK_ICD_FILENAMES: _names, ...inherited } = process.env;
  const args = [...programArguments(new URL(name, import.meta.url)), ...rest];
  const options = { env: { ...inherited, ...env }, cwd: join(import.meta.dirname, '..', '..') };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, stdout, stderr });
    });
  });
}
