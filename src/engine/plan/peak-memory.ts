/** Samples so often that no phase of a step is missed, and seldom enough to cost nothing. */
const INTERVAL_MS = 50;

/** Watches the memory of the process, mapped weights included, while something runs. */
export class PeakMemory {
  #peak = process.memoryUsage.rss();
  readonly #timer = setInterval(() => this.#look(), INTERVAL_MS).unref();

  /** @returns the largest resident size seen, in bytes. */
  end(): number {
    clearInterval(this.#timer);
    this.#look();
    return this.#peak;
  }

  /** Where the work ends in a fault. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    this.#peak = Math.max(this.#peak, process.memoryUsage.rss());
  }
}
