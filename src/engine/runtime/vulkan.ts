/** This file finds what WebGPU needs on Linux: Vulkan's loader, its drivers, and those loaded in this process. */
import { readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { messageOf } from '../../protocol/errors.ts';

export interface VulkanDriver {
  /** The maker or product, such as `NVIDIA` or `SwiftShader`; the library's file name where unknown. */
  readonly name: string;
  /** True for a software driver; null where unknown. */
  readonly software: boolean | null;
}

/** Known drivers by the name of their library. For others, it stays open if they are software. */
const KNOWN: readonly (readonly [pattern: RegExp, name: string, software: boolean])[] = [
  [/vk_swiftshader/, 'SwiftShader', true],
  [/vulkan_lvp/, 'lavapipe', true],
  [/GLX_nvidia|EGL_nvidia/, 'NVIDIA', false],
  [/vulkan_nouveau/, 'NVIDIA (nouveau)', false],
  [/vulkan_radeon|amdvlk/, 'AMD', false],
  [/vulkan_intel/, 'Intel', false],
];

/** Vulkan programs load drivers through this library. */
const LOADER = 'libvulkan.so.1';

/** @returns null when Vulkan's loader is installed, else the dynamic linker's words. */
export function vulkanLoaderProblem(): string | null {
  try {
    process.dlopen({ exports: {} }, LOADER);
  } catch (error) {
    // If found, it is refused too, with other words, since it is not a module for Node.
    const message = messageOf(error);
    return /cannot open shared object|No such file/.test(message) ? message : null;
  }
  return null;
}

/** Lists the installed drivers by their manifests. It reads files only: a driver may turn out to have no device. */
export function installedDrivers(env: NodeJS.ProcessEnv = process.env): VulkanDriver[] {
  return distinct(manifests(env).flatMap(libraryOf).map(describe));
}

/** Lists the drivers that this process has loaded now. A driver without a device may be among them. */
export function loadedDrivers(): VulkanDriver[] {
  const libraries = readText('/proc/self/maps')
    .split('\n')
    .map((line) => path.basename(line.trim().split(/\s+/).slice(5).join(' ')))
    .filter((name) => KNOWN.some(([pattern]) => pattern.test(name)));
  return distinct(libraries.map(describe));
}

/** Lists manifests: those in the loader's two variables, or else those in the folders that it searches. */
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

/** Returns the library that a manifest names; an empty list for other files. */
function libraryOf(manifest: string): string[] {
  try {
    const { ICD: driver } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      ICD?: { library_path?: unknown };
    };
    return typeof driver?.library_path === 'string' ? [driver.library_path] : [];
  } catch {
    return []; // The loader skips such a file too.
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
