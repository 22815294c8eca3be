/** What WebGPU finds on Linux: Vulkan's loader, its drivers, and which of them this process has loaded. */
import { readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { messageOf } from '../../protocol/errors.ts';

export interface VulkanDriver {
  /** Whose it is, such as `NVIDIA` or `SwiftShader`; the library's file name where that is not known. */
  readonly name: string;
  /** Null where it is not known. */
  readonly software: boolean | null;
}

/** Drivers by the name of their library. Others exist; of those it is not said whether they are software. */
const KNOWN: readonly (readonly [pattern: RegExp, name: string, software: boolean])[] = [
  [/vk_swiftshader/, 'SwiftShader', true],
  [/vulkan_lvp/, 'lavapipe', true],
  [/GLX_nvidia|EGL_nvidia/, 'NVIDIA', false],
  [/vulkan_nouveau/, 'NVIDIA (nouveau)', false],
  [/vulkan_radeon|amdvlk/, 'AMD', false],
  [/vulkan_intel/, 'Intel', false],
];

/** The library that Vulkan programs load drivers through. */
const LOADER = 'libvulkan.so.1';

/** @returns null when Vulkan's loader is installed, else the dynamic linker's words. */
export function vulkanLoaderProblem(): string | null {
  try {
    process.dlopen({ exports: {} }, LOADER);
  } catch (error) {
    // Found, it is refused all the same, as it is no module for Node: other words.
    const message = messageOf(error);
    return /cannot open shared object|No such file/.test(message) ? message : null;
  }
  return null;
}

/** The drivers installed, by their manifests. Reads files only: whether one of them has a device shows when it is used. */
export function installedDrivers(env: NodeJS.ProcessEnv = process.env): VulkanDriver[] {
  return distinct(manifests(env).flatMap(libraryOf).map(describe));
}

/** The drivers that are loaded in this process at this moment. A driver without a device may be among them. */
export function loadedDrivers(): VulkanDriver[] {
  const libraries = readText('/proc/self/maps')
    .split('\n')
    .map((line) => path.basename(line.trim().split(/\s+/).slice(5).join(' ')))
    .filter((name) => KNOWN.some(([pattern]) => pattern.test(name)));
  return distinct(libraries.map(describe));
}

/** Two lists of files that the loader takes instead of its folders, else the folders it looks into. */
function manifests(env: NodeJS.ProcessEnv): string[] {
  const named = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES;
  if (named) return named.split(':').filter((file) => file !== '');
  const home = env.XDG_DATA_HOME || path.join(homedir(), '.local', 'share');
  const system = (env.XDG_DATA_DIRS || '/usr/local/share:/usr/share').split(':');
  return ['/etc', '/etc/xdg', home, ...system]
    .map((folder) => path.join(folder, 'vulkan', 'icd.d'))
    .flatMap((folder) => namesIn(folder).map((name) => path.join(folder, name)))
    .filter((file) => file.endsWith('.json'));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // No driver was installed there.
  }
}

/** The library that a manifest names; nothing where it is not a manifest. */
function libraryOf(manifest: string): string[] {
  try {
    const { ICD: driver } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      ICD?: { library_path?: unknown };
    };
    return typeof driver?.library_path === 'string' ? [driver.library_path] : [];
  } catch {
    return []; // The loader leaves it out as well.
  }
}

function describe(library: string): VulkanDriver {
  const base = path.basename(library);
  const known = KNOWN.find(([pattern]) => pattern.test(base));
  return known ? { name: known[1], software: known[2] } : { name: base, software: null };
}

function distinct(drivers: readonly VulkanDriver[]): VulkanDriver[] {
  return [...new Map(drivers.map((driver) => [driver.name, driver])).values()];
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
