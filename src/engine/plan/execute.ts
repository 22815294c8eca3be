import { withoutLaterOptions } from '../../config/index.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { expectSame } from '../distributed/agreement.ts';
import type { Ranks } from '../distributed/ranks.ts';
import { PeakMemory } from './peak-memory.ts';
import type { PhaseSeconds } from './phases.ts';
import type { Places } from './places.ts';
import { digestOf, type Step, type StepContext } from './step.ts';
import type { Claim } from './step-lock.ts';
import type { Found, StepStore } from './step-store.ts';
import { claimTogether, mirrorStep } from './step-together.ts';
import type { Workbench } from './workbench.ts';

/** Runs the steps whose result is missing, each once, inputs first. */
export class Executor implements StepContext {
  readonly bench: Workbench;
  readonly places: Places;
  readonly seconds: PhaseSeconds;
  readonly signal: AbortSignal | undefined;
  /** Results that other experiments made, or may use; null where none are shared. */
  readonly #store: StepStore | null;
  readonly #results = new Map<Step<unknown>, unknown>();
  #peakBytes: number | null = null;
  readonly #keys = new Map<Step<unknown>, Promise<string>>();

  constructor(
    bench: Workbench,
    places: Places,
    seconds: PhaseSeconds,
    signal: AbortSignal | undefined,
    store: StepStore | null = null,
  ) {
    this.bench = bench;
    this.places = places;
    this.seconds = seconds;
    this.signal = signal;
    this.#store = store;
  }

  async *execute<T>(step: Step<T>): AsyncGenerator<RunEvent, T> {
    if (this.#results.has(step)) return this.of(step);
    for (const input of step.inputs) yield* this.execute(input);
    throwIfCancelled(this.signal);
    if (isShared(step)) this.places.noteUse(await this.keyOf(step));
    const claim = await this.#takeTogether(step);
    try {
      return yield* this.#made(step);
    } finally {
      claim?.release();
    }
  }

  /**
   * A step that ranks have no part in, on rank 0 alone: its inputs are of all of them.
   * @returns null on the others.
   */
  async *executeOnLeader<T>(step: Step<T>): AsyncGenerator<RunEvent, T | null> {
    for (const input of step.inputs) yield* this.execute(input);
    if (step.isLeaders && !(this.bench.ranks?.leads ?? true)) return null;
    return yield* this.execute(step);
  }

  /** Where ranks do the same work, rank 0 takes the step for all, and the others get what it has. */
  async #takeTogether(step: Step<unknown>): Promise<Claim | null> {
    const ranks = this.#ranksOf(step);
    if (ranks === null || !isShared(step)) return null;
    const key = await this.keyOf(step);
    const store = this.#store;
    const claim =
      store &&
      (await claimTogether(ranks, async () =>
        (await this.#found(store, step, key)) ? null : store.claim(step, key, this.signal),
      ));
    try {
      if (store) await mirrorStep(ranks, store.folderOf(key));
      if (step.folder) await mirrorStep(ranks, step.folder(this.bench, key));
      return claim;
    } catch (error) {
      claim?.release();
      throw error;
    }
  }

  /** Ranks that have a part in a step; null where this process does it alone. */
  #ranksOf({ isDerived, isLeaders }: Step<unknown>): Ranks | null {
    const { ranks } = this.bench;
    return ranks === undefined || ranks.size === 1 || isDerived || isLeaders ? null : ranks;
  }

  async *#made<T>(step: Step<T>): AsyncGenerator<RunEvent, T> {
    const kept = step.find ? await step.find(this, await this.keyOf(step)) : null;
    await this.#expectSame(step, kept !== null);
    if (kept && this.#store) {
      const key = await this.keyOf(step);
      await this.#countMemory(key);
      // Weights are found in their folder; a run's own log tells of its own learning.
      if (step.kind === 'round') yield* await this.#store.events(key);
    }
    const result = kept ?? (yield* this.#shared(step));
    this.#results.set(step, result);
    return result;
  }

  /** Ranks that have come to different results, or to different kept ones, would wait for each other for ever. */
  async #expectSame(step: Step<unknown>, isKept: boolean): Promise<void> {
    const ranks = this.#ranksOf(step);
    if (ranks === null) return;
    const state = isKept ? 'kept' : 'to be computed';
    // Other steps may have paths in their keys, which ranks name in their own ways.
    const from = step.inputs.map((input) => input.digest(this.of(input)));
    const key = isShared(step) ? await this.keyOf(step) : digestOf(from);
    await expectSame(ranks, { [`step ${step.name}`]: `${state}, key ${key.slice(0, 12)}` });
  }

  /** Runs a step whose result nobody has kept. The events of one that was kept tell again what it found. */
  async *#shared<T>(step: Step<T>): AsyncGenerator<RunEvent, T> {
    const store = this.#store;
    if (!store) return yield* step.run(this);
    const key = await this.keyOf(step);
    const found = await store.find(step, key);
    if (found) return yield* this.#told(found, key);
    const claim = this.#ranksOf(step) === null ? await store.claim(step, key, this.signal) : null;
    try {
      // Whoever had it meanwhile may have ended it.
      const again = claim && (await this.#found(store, step, key));
      return again ? yield* this.#told(again, key) : yield* this.#running(store, step, key);
    } finally {
      claim?.release();
    }
  }

  async #found<T>(store: StepStore, step: Step<T>, key: string): Promise<Found<T> | null> {
    const own = step.find ? await step.find(this, key) : null;
    return own ? { result: own, events: await store.events(key) } : await store.find(step, key);
  }

  async *#told<T>({ events, result }: Found<T>, key: string): AsyncGenerator<RunEvent, T> {
    await this.#countMemory(key);
    yield* events;
    return result;
  }

  async *#running<T>(store: StepStore, step: Step<T>, key: string): AsyncGenerator<RunEvent, T> {
    const [began, peak] = [performance.now(), new PeakMemory()];
    const events: RunEvent[] = [];
    const running = step.run(this);
    try {
      for (;;) {
        const next = await running.next();
        if (!next.done) {
          events.push(next.value);
          yield next.value;
          continue;
        }
        const seconds = (performance.now() - began) / 1000;
        const peakBytes = peak.end();
        this.#peakBytes = Math.max(this.#peakBytes ?? 0, peakBytes);
        const work = step.cost?.(this).work ?? null;
        await store.keep(step, key, next.value, { events, seconds, peakBytes, work });
        return next.value;
      }
    } finally {
      peak.end();
      // Left in the middle, it keeps what it has; at its end this does nothing.
      await running.return(undefined as T);
    }
  }

  /**
   * Largest resident size of a process that ran one of these steps, whichever experiment it was for; null where none is
   * known.
   */
  get peakBytes(): number | null {
    return this.#peakBytes;
  }

  async #countMemory(key: string): Promise<void> {
    const record = await this.#store?.record(key);
    if (record) this.#peakBytes = Math.max(this.#peakBytes ?? 0, record.peakBytes);
  }

  /** Takes a result as given: who only looks ahead leaves the step to whoever computes. */
  assume<T>(step: Step<T>, result: T): void {
    this.#results.set(step, result);
  }

  of<T>(step: Step<T>): T {
    if (!this.#results.has(step)) throw new Error(`${step.name} has not run`);
    // Only `execute` sets a result, and it sets the step's own.
    return this.#results.get(step) as T;
  }

  /** Inputs count by what they are, not by the way to them; the model and the runtime count too. */
  keyOf(step: Step<unknown>): Promise<string> {
    const known = this.#keys.get(step) ?? this.#makeKey(step);
    this.#keys.set(step, known);
    return known;
  }

  async #makeKey(step: Step<unknown>): Promise<string> {
    const { checkpoint, runtime, keyMeans } = this.bench;
    const { kind, name, version, inputs } = step;
    return digestOf({
      kind,
      name,
      version,
      spec: withoutLaterOptions(step.spec(), checkpoint.config),
      inputs: inputs.map((input) => input.digest(this.of(input))),
      model: await checkpoint.hash(),
      kernels: runtime.kernels,
      device: runtime.device.kind,
      ...(keyMeans !== undefined && { keyMeans }),
    });
  }
}

/** True for steps whose results other experiments may find. */
function isShared({ kind, keeping, find }: Step<unknown>): boolean {
  return kind !== 'text' && (keeping !== undefined || find !== undefined);
}
