import { loadAddon } from './addon.ts';

/** Past any cache; a longer read would be interrupted more often. */
const BYTES = 2 ** 26;
const REPEATS = 4;

/** Measures again and again how fast all threads together read memory. */
export class ReadBandwidth {
  readonly #threads: number;
  readonly #memory = new Float32Array(BYTES / Float32Array.BYTES_PER_ELEMENT).fill(1);
  readonly #addon = loadAddon();
  #most: number | null = null;

  constructor(threads: number) {
    this.#threads = threads;
  }

  measure(): void {
    for (const seconds of this.#addon?.readTimes(this.#memory, this.#threads, REPEATS) ?? [])
      this.#most = Math.max(this.#most ?? 0, BYTES / seconds);
  }

  /** Bytes per second, the most so far; null where the native operators are not built. */
  get most(): number | null {
    return this.#most;
  }
}

/** The widest instructions that the native operators have here, and those below; none where they are not built. */
export function instructionSets(): string[] {
  return loadAddon()?.instructionSets() ?? [];
}
