/** The numbers that are learned for a layer, in double precision, and the steps of AdamW that change them. */
import { UserError } from '../../../protocol/errors.ts';
import {
  type KroneckerSource,
  kroneckerFactors,
  kroneckerNumbers,
  kroneckerParts,
} from '../../network/kronecker.ts';
import { product, transposed } from '../../network/small-matrix.ts';

/** Decay of the moving averages of the gradient and of its square, and what keeps their ratio finite. */
const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;
/** Of AdamW in PyTorch, which the paper leaves as it is. */
const DECAY = 0.01;
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
  readonly #mean: Float64Array;
  readonly #square: Float64Array;

  constructor(numbers: Float64Array) {
    this.numbers = numbers;
    this.#mean = new Float64Array(numbers.length);
    this.#square = new Float64Array(numbers.length);
  }

  /** A step of AdamW, p − η (λ p + m̂/(√v̂ + ε)). @param step from 0. */
  step(gradient: ArrayLike<number>, rate: number, step: number): void {
    const [c1, c2] = [1 - BETA1 ** (step + 1), 1 - BETA2 ** (step + 1)];
    for (const [i, p] of this.numbers.entries()) {
      const g = gradient[i]!;
      const m = BETA1 * this.#mean[i]! + (1 - BETA1) * g;
      const v = BETA2 * this.#square[i]! + (1 - BETA2) * g * g;
      this.#mean[i] = m;
      this.#square[i] = v;
      this.numbers[i] = p - rate * (DECAY * p + m / c1 / (Math.sqrt(v / c2) + EPSILON));
    }
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
