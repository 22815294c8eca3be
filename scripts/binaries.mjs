/** This file finds the platform of a compiled file by its first bytes. */
import { readFileSync } from 'node:fs';
import { unzipSync } from 'fflate';

/** Compiled files have such names. */
const COMPILED = /\.(node|so(\.\d+)*|dylib|dll|exe)$/;

const ELF_MACHINES = { 62: 'linux-x64', 183: 'linux-arm64' };
const PE_MACHINES = { 34404: 'win32-x64', 43620: 'win32-arm64' };
const MACH_CPUS = { 16777223: 'darwin-x64', 16777228: 'darwin-arm64' };

/**
 * @param {Uint8Array} bytes
 * @returns {string | null} such as `linux-x64`; `unknown` for another machine; null for a file that is not compiled.
 */
export function platformOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 64) return null;
  if (view.getUint32(0) === 0x7f454c46) return ELF_MACHINES[view.getUint16(18, true)] ?? 'unknown';
  if (view.getUint32(0, true) === 0xfeedfacf) return MACH_CPUS[view.getUint32(4, true)] ?? 'unknown';
  if (view.getUint16(0) !== 0x4d5a) return null;
  const header = view.getUint32(0x3c, true);
  if (header + 6 > bytes.length || view.getUint32(header) !== 0x50450000) return null;
  return PE_MACHINES[view.getUint16(header + 4, true)] ?? 'unknown';
}

/**
 * Lists the compiled files of a VSIX.
 * @param {string} path
 * @returns {{ path: string, platform: string }[]}
 */
export function binariesIn(path) {
  return Object.entries(unzipSync(readFileSync(path)))
    .map(([name, bytes]) => ({
      path: name.replace(/^extension\//, ''),
      platform: platformOf(bytes) ?? (COMPILED.test(name) ? 'unknown' : null),
    }))
    .filter(({ platform }) => platform !== null)
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}
