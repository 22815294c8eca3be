/** A job in the worker, from its request to its answer. */
import type { CancellationToken } from 'vscode-jsonrpc';
import type { ComparisonEvent } from '../protocol/comparison.ts';
import { Cancelled, throwIfCancelled } from '../protocol/errors.ts';
import type { RunEvent } from '../protocol/events.ts';

export type Told = RunEvent | ComparisonEvent;
type Job<Event extends Told, T> = (signal: AbortSignal) => AsyncGenerator<Event, T>;

const PAUSED = new Cancelled('Paused.', 'paused');

/** One job at work, which stops when asked. */
export class RunningJob {
  readonly ended: Promise<void>;
  readonly #controller = new AbortController();
  #resolveEnded: () => void = () => {};
  #learning = false;
  #pauseAsked = false;

  constructor(token: CancellationToken) {
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    token.onCancellationRequested(() => this.abort());
    if (token.isCancellationRequested) this.abort();
  }

  /** @param tell is given each event before the job goes on. */
  async follow<Event extends Told, T>(job: Job<Event, T>, tell: (event: Event) => void): Promise<T> {
    throwIfCancelled(this.#controller.signal);
    const events = job(this.#controller.signal);
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      tell(next.value);
      this.#watch(next.value);
    }
  }

  /** While rotations are learned the present step is finished first, so that none of its work is lost. */
  pause(): void {
    if (this.#learning) this.#pauseAsked = true;
    else this.abort(PAUSED);
  }

  /** The first reason counts. */
  abort(reason = new Cancelled()): void {
    this.#controller.abort(reason);
  }

  end(): void {
    this.#resolveEnded();
  }

  #watch(event: Told): void {
    if (event.type === 'phase' && event.phase === 'learn') this.#learning = event.state === 'started';
    if (this.#pauseAsked && (event.type === 'step' || !this.#learning)) this.abort(PAUSED);
  }
}
