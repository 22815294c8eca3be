/**
 * Runs a task when asked, at most once per interval and never twice at once. Asking meanwhile leads to exactly one more
 * run, so the last state is always told.
 */
export class Throttle {
  readonly #task: () => Promise<void>;
  readonly #intervalMs: number;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #busy = false;
  #again = false;
  #last = Number.NEGATIVE_INFINITY;
  #disposed = false;

  /** @param task must not reject. */
  constructor(task: () => Promise<void>, intervalMs: number) {
    this.#task = task;
    this.#intervalMs = intervalMs;
  }

  ask(): void {
    if (this.#disposed || this.#timer) return;
    if (this.#busy) {
      this.#again = true;
      return;
    }
    const wait = Math.max(0, this.#last + this.#intervalMs - performance.now());
    this.#timer = setTimeout(() => void this.#run(), wait);
  }

  dispose(): void {
    this.#disposed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #run(): Promise<void> {
    this.#timer = null;
    this.#busy = true;
    this.#again = false;
    this.#last = performance.now();
    await this.#task();
    this.#busy = false;
    if (this.#again) this.ask();
  }
}
