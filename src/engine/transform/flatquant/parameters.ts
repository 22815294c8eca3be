/** The numbers that are learned for a layer, in double precision, and the steps of AdamW that change them. */
import { UserError } from '../../../protocol/errors.ts';
import { adamStep } from '../../calibration/adam.ts';
import {
  type KroneckerSource,
  kroneckerFactors,
  kroneckerNumbers,
  kroneckerParts,
} from '../../network/kronecker.ts';
import { product, transposed } from '../../network/small-matrix.ts';

/** The defaults of AdamW in PyTorch, which the paper leaves as they are. */
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.01 } as const;
/** Rates end here of where they began. */
const LAST_RATE = 1e-3;

/** η_t of `steps` steps, t from 0: half a cosine from the rate down to a thousandth of it. */
export function cosineRate(rate: number, step: number, steps: number): number {
  const share = (1 + Math.cos((Math.PI * step) / steps)) / 2;
  return rate * (LAST_RATE + (1 - LAST_RATE) * share);
}

/** Numbers with Adam's two moving averages. */
export class Learned {
  readonly numbers: Float64Array;
  readonly #moments: Readonly<Record<'mean' | 'square', Float64Array>>;

  constructor(numbers: Float64Array) {
    this.numbers = numbers;
    this.#moments = { mean: new Float64Array(numbers.length), square: new Float64Array(numbers.length) };
  }

  /** A step of AdamW. @param step from 0. */
  step(gradient: ArrayLike<number>, rate: number, step: number): void {
    adamStep(this.numbers, gradient, this.#moments, { ...ADAM, rate, step: step + 1 });
  }
}

/** The map of a seam: s, P₁ and P₂ are learned, the inverses follow. */
export class LearnedMap {
  readonly #width: number;
  readonly #parts: Readonly<Record<keyof KroneckerSource, Learned>>;

  /** @param source orthogonal P₁ and P₂, and scales of channels. */
  constructor({ gain, left, right }: KroneckerSource) {
    this.#width = gain.length;
    this.#parts = { gain: new Learned(gain), left: new Learned(left), right: new Learned(right) };
  }

  get source(): KroneckerSource {
    const { gain, left, right } = this.#parts;
    return { gain: gain.numbers, left: left.numbers, right: right.numbers };
  }

  /** @throws UserError `scaling/no-inverse`. */
  numbers(): Float64Array {
    const numbers = kroneckerNumbers(this.source);
    if (numbers) return numbers;
    throw new UserError(
      'scaling/no-inverse',
      'A map that FlatQuant learns lost its inverse.',
      'Use a smaller scaling.flatquant.learningRate.',
    );
  }

  /** @param derivative by all numbers of the map, as {@link throughInverses} takes it. */
  step(derivative: ArrayLike<number>, numbers: Float64Array, rate: number, step: number): void {
    const by = throughInverses(derivative, numbers, this.#width);
    for (const name of ['gain', 'left', 'right'] as const) this.#parts[name].step(by[name], rate, step);
  }
}

/**
 * ∂loss by s, P₁ and P₂ from that by all numbers of a map, its inverses among them. With Q = P⁻ᵀ and its derivative G,
 * dQ = −Q dPᵀ Q adds −Q Gᵀ Q to that of P.
 */
export function throughInverses(
  derivative: ArrayLike<number>,
  numbers: Float64Array,
  width: number,
): KroneckerSource {
  const parts = kroneckerParts(width);
  const [n1, n2] = kroneckerFactors(width);
  const part = (of: ArrayLike<number>, start: number, size: number): Float64Array =>
    Float64Array.from({ length: size }, (_, i) => of[start + i]!);
  const matrix = (name: 'left' | 'right', n: number): Float64Array => {
    const direct = part(derivative, parts[name].start, n * n);
    const { start } = parts[`${name}Inverse`];
    const q = part(numbers, start, n * n);
    const moved = product(product(q, transposed(part(derivative, start, n * n))), q);
    return direct.map((value, i) => value - moved[i]!);
  };
  return {
    gain: part(derivative, parts.gain.start, width),
    left: matrix('left', n1),
    right: matrix('right', n2),
  };
}
