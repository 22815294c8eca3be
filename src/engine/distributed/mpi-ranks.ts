import { Cancelled, type Stopped } from '../../protocol/errors.ts';
import type { MpiAddon } from './addon.ts';
import type { Ranks, Traffic } from './ranks.ts';

/** What the addon throws from a wait that was interrupted. */
const INTERRUPTED = 'interrupted';
/** Reasons to stop, as ranks tell them; whoever pauses or cancels stops for good. */
const REASONS: readonly Stopped[] = ['cancelled', 'interrupted'];
/** Other ranks are so often listened to while nothing waits for them. */
const LISTEN_MS = 300;
/** MPI counts bytes in an int. */
const MOST_BYTES = 2 ** 24;

/** Ranks by MPI. All must call the same methods in the same order. */
export class MpiRanks implements Ranks {
  readonly rank: number;
  readonly size: number;
  readonly description: string;
  threads: number | null = null;
  readonly #addon: MpiAddon;
  #traffic: Traffic = { sent: 0, summed: 0 };
  #reason: Cancelled | null = null;
  readonly #stopped = new AbortController();
  readonly #listening: NodeJS.Timeout;

  /** @param addon whose MPI is initialized. @param library for people. */
  constructor(addon: MpiAddon, library: string) {
    this.#addon = addon;
    this.rank = addon.rank();
    this.size = addon.size();
    this.description = `${this.size} ranks, ${library}`;
    this.#listening = setInterval(() => void this.#listen(), LISTEN_MS).unref();
  }

  get leads(): boolean {
    return this.rank === 0;
  }

  get traffic(): Traffic {
    return this.#traffic;
  }

  async sum(values: Float32Array | Float64Array): Promise<void> {
    const sent = await this.#together(() => this.#addon.sum(values));
    const { sent: before, summed } = this.#traffic;
    this.#traffic = { sent: before + sent, summed: summed + values.byteLength };
  }

  async gather(own: Uint8Array): Promise<Uint8Array[]> {
    const sizes = new Float64Array(this.size);
    const size = new Uint8Array(Float64Array.of(own.length).buffer);
    await this.#together(() => this.#addon.allGather(size, new Uint8Array(sizes.buffer)));
    const most = Math.max(...sizes);
    if (most === 0) return Array.from(sizes, () => new Uint8Array());
    const [padded, all] = [new Uint8Array(most), new Uint8Array(most * this.size)];
    padded.set(own);
    await this.#together(() => this.#addon.allGather(padded, all));
    return Array.from(sizes, (length, rank) => all.subarray(rank * most, rank * most + length));
  }

  async broadcast(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += MOST_BYTES)
      await this.#together(() => this.#addon.broadcast(bytes.subarray(start, start + MOST_BYTES), 0));
  }

  async barrier(): Promise<void> {
    await this.#together(() => this.#addon.barrier());
  }

  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  interrupt(reason: Cancelled): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#addon.interrupt();
    // Whoever told this one has told the others.
    if (this.stopped.aborted) return;
    this.#addon.tellStop(1 + Math.max(0, REASONS.indexOf(reason.how))).catch(() => undefined);
  }

  async leave(seconds: number): Promise<boolean> {
    clearInterval(this.#listening);
    // A call that was interrupted in the middle leaves MPI at work: then nothing but an abort ends it.
    const late = new Promise<number>((resolve) => setTimeout(resolve, 1000 * seconds + 500, 0).unref());
    const met = await Promise.race([this.#addon.meet(seconds), late]);
    if (met !== 1) return false;
    if (this.#reason === null) await this.#addon.finish();
    return true;
  }

  abort(code: number): void {
    this.#addon.abort(code);
  }

  /** @throws Cancelled where the wait for the others was interrupted. */
  async #together(call: () => Promise<number>): Promise<number> {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Error && error.message === INTERRUPTED)) throw error;
      await this.#listen();
      throw this.#reason ?? new Cancelled();
    }
  }

  async #listen(): Promise<void> {
    const how = REASONS[(await this.#addon.heardStop().catch(() => 0)) - 1];
    if (how === undefined || this.#reason !== null) return;
    const reason = new Cancelled('Another rank was stopped.', how);
    this.#stopped.abort(reason);
    this.interrupt(reason);
  }
}
