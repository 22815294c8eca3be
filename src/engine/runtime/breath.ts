import { setImmediate } from 'node:timers/promises';
import { throwIfCancelled } from '../../protocol/errors.ts';

const WORK_MS = 30;

/** Lets a long loop in JavaScript answer others now and then, and stop. */
export class Breath {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** @throws Cancelled when the signal has fired. */
  async draw(): Promise<void> {
    if (performance.now() - this.#last < WORK_MS) return;
    await setImmediate();
    throwIfCancelled(this.#signal);
    this.#last = performance.now();
  }
}
