/** Expected seconds and memory of steps: by what they ask of the machine, and by how long steps that ran here took. */
import type { Work } from '../../network/work.ts';
import { type Machine, secondsOf } from './machine.ts';

/** A step that ran: what it asked, and what it took. */
export interface RanStep {
  readonly name: string;
  readonly work: Work;
  readonly seconds: number;
}

/** Shorter steps tell of the clock and of compiled programs more than of the machine. */
const TELLING_SECONDS = 0.5;

/**
 * Scales what the machine's measurement says by steps that ran: those of the same name where there are some, else the
 * middle one of all names.
 */
export class Estimates {
  readonly #machine: Machine;
  /** How much longer steps of a name took than the measurement says. */
  readonly #ratios: ReadonlyMap<string, number>;
  readonly #middle: number;

  constructor(machine: Machine, ran: readonly RanStep[]) {
    this.#machine = machine;
    const names = [...new Set(ran.map(({ name }) => name))];
    const ratios = names.map((name) => {
      const steps = ran.filter((step) => step.name === name);
      const own = steps.map(({ seconds, work }) => seconds / secondsOf(work, machine));
      const longest = Math.max(...steps.map(({ seconds }) => seconds));
      return { name, ratio: median(own), tells: longest >= TELLING_SECONDS };
    });
    this.#ratios = new Map(ratios.map(({ name, ratio }) => [name, ratio]));
    const telling = ratios.filter(({ tells }) => tells);
    const counted = telling.length > 0 ? telling : ratios;
    this.#middle = counted.length > 0 ? median(counted.map(({ ratio }) => ratio)) : 1;
  }

  seconds(name: string, work: Work): number {
    return secondsOf(work, this.#machine) * (this.#ratios.get(name) ?? this.#middle);
  }
}

/** The middle one of some numbers, at least one. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
