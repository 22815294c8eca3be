import { Rng } from '../../../src/engine/rotation/random.ts';

/** Seeded choices. Equal labels give equal choices. */
export class Dice {
  readonly #rng: Rng;

  constructor(seed: number, ...labels: (string | number)[]) {
    this.#rng = labels.reduce<Rng>((rng, label) => rng.split(label), new Rng(seed));
  }

  /** A whole number from 0 to below `bound`; 0 where the bound is 0. */
  below(bound: number): number {
    return bound <= 1 ? 0 : this.#rng.integer(bound);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.#rng.uniform() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** Mostly small, now and then up to `most`. */
  length(most: number): number {
    return 1 + this.below(Math.min(most, this.pick([1, 4, 16, 64, 1024, most])));
  }
}
