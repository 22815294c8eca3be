import { loadAddon } from './addon.ts';

/**
 * Many times a cache: of 64 MiB that are read again and again, a cache of 32 MiB still serves a fifth, and what it serves
 * is not read from memory.
 */
const BYTES = 2 ** 28;

/** Measures again and again how fast all threads together read memory. */
export class ReadBandwidth {
  readonly #threads: number;
  readonly #memory = new Float32Array(BYTES / Float32Array.BYTES_PER_ELEMENT).fill(1);
  readonly #addon = loadAddon();
  #most: number | null = null;

  constructor(threads: number) {
    this.#threads = threads;
  }

  /** @returns bytes per second of one pass; null where the native operators are not built. */
  measure(): number | null {
    if (!this.#addon) return null;
    const rate = BYTES / this.#addon.readTimes(this.#memory, this.#threads, 1)[0]!;
    this.#most = Math.max(this.#most ?? 0, rate);
    return rate;
  }

  /** The most so far. */
  get most(): number | null {
    return this.#most;
  }
}

/** The widest instructions that the native operators have here, and those below; none where they are not built. */
export function instructionSets(): string[] {
  return loadAddon()?.instructionSets() ?? [];
}
