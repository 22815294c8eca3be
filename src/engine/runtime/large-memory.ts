import { loadAddon } from './addon.ts';

/**
 * Memory of zeros for what is read again and again. Where the system has large pages (2 MB instead of 4 KB), the
 * processor then rarely has to look one up. All of a large page is there as soon as some of it was written.
 */
export function largeMemory(bytes: number): ArrayBuffer {
  const memory = new ArrayBuffer(bytes);
  loadAddon()?.useLargePages(new Uint8Array(memory));
  return memory;
}
