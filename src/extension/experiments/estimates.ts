/** What running experiments is expected to take, as the worker says. Knows nothing of the editor. */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../protocol/errors.ts';
import type { CheckParams, EstimateResult } from '../../protocol/worker.ts';

/** A text that is being written is not asked about. */
const DELAY_MS = 600;
/** After a failure, as in a folder that is not trusted, the worker is asked again so much later. */
const RETRY_MS = 30_000;

interface Known {
  readonly text: string;
  readonly round: number;
  readonly expected: EstimateResult | null;
  /** Milliseconds; null where the worker has answered with an estimate, or is about to. */
  readonly failedAt: number | null;
  /** Resolves with the answer. */
  readonly asked: Promise<void>;
}

interface Asker {
  /** @returns null where the experiment cannot be run as it stands. */
  ask(params: CheckParams): Promise<EstimateResult | null>;
  /** Not while a job runs, beside which the machine's speed would be measured, nor where the worker may not start. */
  mayAsk(): boolean;
}

export class ExperimentEstimates {
  readonly #asker: Asker;
  readonly #log: { warn(message: string): void };
  readonly #known = new Map<string, Known>();
  readonly #listeners = new Set<() => void>();
  #round = 0;

  constructor(asker: Asker, log: { warn(message: string): void }) {
    this.#asker = asker;
    this.#log = log;
  }

  /** Called when an estimate became known. */
  onDidChange(listener: () => void): { dispose(): void } {
    this.#listeners.add(listener);
    return { dispose: () => this.#listeners.delete(listener) };
  }

  /** A job has ended: of a table there is less to do, and what ran tells how fast the machine is. */
  jobEnded(): void {
    this.#round++;
  }

  /** What is known by now; until the worker answers, the one of before stands. */
  of(file: string, text: string): EstimateResult | null {
    const known = this.#known.get(file);
    const isSame = known?.text === text && known.round === this.#round;
    const mayRetry = known?.failedAt != null && Date.now() - known.failedAt > RETRY_MS;
    if ((isSame && !mayRetry) || !this.#asker.mayAsk()) return known?.expected ?? null;
    const expected = known?.expected ?? null;
    const asked = this.#update({ file, text }, this.#round);
    this.#known.set(file, { text, round: this.#round, expected, failedAt: null, asked });
    return expected;
  }

  /** The same, waiting for the answer so long at most. */
  async soon(file: string, text: string, limitMs: number): Promise<EstimateResult | null> {
    this.of(file, text);
    const limit = new AbortController();
    const timeUp = sleep(limitMs, undefined, { signal: limit.signal }).catch(() => undefined);
    await Promise.race([this.#known.get(file)?.asked, timeUp]);
    limit.abort();
    return this.#known.get(file)?.expected ?? null;
  }

  async #update(params: CheckParams, round: number): Promise<void> {
    const { file, text } = params;
    const isCurrent = () => this.#known.get(file)?.text === text && this.#known.get(file)?.round === round;
    await sleep(DELAY_MS);
    if (!isCurrent()) return;
    let expected: EstimateResult | null = null;
    try {
      expected = await this.#asker.ask(params);
    } catch (error) {
      this.#log.warn(`What ${file} takes was not estimated: ${messageOf(error)}`);
    }
    const known = this.#known.get(file);
    // Another text was asked about meanwhile.
    if (known === undefined || !isCurrent()) return;
    // Files that it names may come without a change of its text.
    const failedAt = expected === null ? Date.now() : null;
    this.#known.set(file, { ...known, expected, failedAt });
    if (JSON.stringify(known.expected) === JSON.stringify(expected)) return;
    for (const listener of this.#listeners) listener();
  }
}
