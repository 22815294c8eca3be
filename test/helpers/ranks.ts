/** Ranks inside one process, which meet in memory: what they share is tested without MPI. */
import type { Ranks } from '../../src/engine/distributed/ranks.ts';

/** Gathers a value of each rank, call by call. */
class Meeting {
  readonly #size: number;
  #values: unknown[] = [];
  #waiting: ((all: unknown[]) => void)[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  exchange<T>(rank: number, value: T): Promise<T[]> {
    return new Promise((resolve) => {
      this.#values[rank] = value;
      // All ranks make the same call: they exchange values of one type.
      this.#waiting.push((all) => resolve(all as T[]));
      if (this.#waiting.length < this.#size) return;
      const [all, waiting] = [this.#values, this.#waiting];
      [this.#values, this.#waiting] = [[], []];
      for (const go of waiting) go(all);
    });
  }
}

function rankOf(meeting: Meeting, rank: number, size: number): Ranks {
  return {
    rank,
    size,
    leads: rank === 0,
    threads: 1,
    description: `${size} ranks in memory`,
    traffic: { sent: 0, summed: 0 },
    async sum(values) {
      const all = await meeting.exchange(rank, values.slice());
      for (let i = 0; i < values.length; i++) values[i] = all.reduce((sum, one) => sum + one[i]!, 0);
    },
    gather: (own) => meeting.exchange(rank, own.slice()),
    async broadcast(bytes) {
      const [first] = await meeting.exchange(rank, bytes.slice());
      if (rank !== 0) bytes.set(first!);
    },
    barrier: async () => void (await meeting.exchange(rank, null)),
    interrupt: () => undefined,
    stopped: new AbortController().signal,
    leave: () => Promise.resolve(true),
    abort: () => undefined,
  };
}

/** Does work on so many ranks at once. @returns what each of them found, in their order. */
export function onRanksInMemory<T>(size: number, work: (ranks: Ranks) => Promise<T>): Promise<T[]> {
  const meeting = new Meeting(size);
  return Promise.all(Array.from({ length: size }, (_, rank) => work(rankOf(meeting, rank, size))));
}
