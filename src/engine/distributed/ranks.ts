/** The processes that share a job. Each is a rank, and all run the same program on different parts of the text. */

import type { Cancelled } from '../../protocol/errors.ts';

export interface Ranks {
  /** Counted from 0. */
  readonly rank: number;
  readonly size: number;
  /** True for rank 0, which alone writes the run folder and prints. */
  readonly leads: boolean;
  /** Threads that a rank may use, where several share a machine's processors; null for one rank. */
  readonly threads: number | null;
  /** For people and provenance: `2 ranks, Open MPI v4.1.4`; null for one rank. */
  readonly description: string | null;
  /**
   * Puts sums over ranks into `values`, on every rank the same bits, and the same ones from run to run: ((v₀ + v₁) + v₂) + …
   * in float64, rounded once to the type of the array.
   */
  sum(values: Float32Array | Float64Array): Promise<void>;
  /** What every rank gives, of any size, in the order of ranks. */
  gather(own: Uint8Array): Promise<Uint8Array[]>;
  /** Fills `bytes` on every rank with those of rank 0. */
  broadcast(bytes: Uint8Array): Promise<void>;
  /** Returns when all ranks have come here. */
  barrier(): Promise<void>;
  /** Waiting for other ranks ends, and throws this from now on; the others are told. */
  interrupt(reason: Cancelled): void;
  /** Fires when another rank tells that it was stopped, with a `Cancelled` as its reason. */
  readonly stopped: AbortSignal;
  /** Bytes that this rank has sent for sums, and what they were of. */
  readonly traffic: Traffic;
  /**
   * Ends in order, where all ranks come here within this time. To be called last.
   * @returns false where they do not: {@link abort} is then left.
   */
  leave(seconds: number): Promise<boolean>;
  /** Ends all ranks at once, and this process. */
  abort(code: number): void;
}

/** Bytes of sums over ranks. */
export interface Traffic {
  readonly sent: number;
  readonly summed: number;
}

const NONE: Traffic = { sent: 0, summed: 0 };

/** A process alone. Nothing of it costs anything. */
export const ONE_RANK: Ranks = {
  rank: 0,
  size: 1,
  leads: true,
  threads: null,
  description: null,
  traffic: NONE,
  sum: () => Promise.resolve(),
  gather: (own) => Promise.resolve([own]),
  broadcast: () => Promise.resolve(),
  barrier: () => Promise.resolve(),
  interrupt: () => undefined,
  stopped: new AbortController().signal,
  leave: () => Promise.resolve(true),
  abort: () => undefined,
};

/** The part of a list that is a rank's: neighbours, and parts differ by at most one in length. */
export function shareOf<T>(items: readonly T[], { rank, size }: Pick<Ranks, 'rank' | 'size'>): readonly T[] {
  if (size === 1) return items;
  const bound = (of: number): number => Math.floor((of * items.length) / size);
  return items.slice(bound(rank), bound(rank + 1));
}

/** Numbers of every rank, in the order of ranks. */
export async function gatherNumbers(ranks: Ranks, own: readonly number[]): Promise<number[]> {
  if (ranks.size === 1) return [...own];
  const parts = await ranks.gather(new Uint8Array(Float64Array.from(own).buffer));
  return parts.flatMap((bytes) => Array.from(new Float64Array(bytes.slice().buffer)));
}

/** A text of every rank, in the order of ranks. */
export async function gatherTexts(ranks: Ranks, own: string): Promise<string[]> {
  const parts = await ranks.gather(new TextEncoder().encode(own));
  return parts.map((bytes) => new TextDecoder().decode(bytes));
}

/** Bytes of rank 0 on every rank, of a size that only rank 0 knows. @param own null on the others. */
export async function broadcastBytes(ranks: Ranks, own: Uint8Array | null): Promise<Uint8Array> {
  const size = Float64Array.of(own?.length ?? 0);
  await ranks.broadcast(new Uint8Array(size.buffer));
  const bytes = own ?? new Uint8Array(size[0] ?? 0);
  if (bytes.length > 0) await ranks.broadcast(bytes);
  return bytes;
}

/** Sums arrays of float64 over ranks in one exchange, sent as float32: see the caller for what that may cost. */
export async function sumTogether(ranks: Ranks, arrays: readonly Float64Array[]): Promise<void> {
  if (ranks.size === 1) return;
  const all = new Float32Array(arrays.reduce((length, array) => length + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  await ranks.sum(all);
  at = 0;
  for (const array of arrays) {
    array.set(all.subarray(at, at + array.length));
    at += array.length;
  }
}
