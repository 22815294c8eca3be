import type { MedianRange } from '../../../runs/index.ts';
import type { ActivationQuantizer } from '../../graph/fused/fake-quantize.ts';

/** Ranges kept at most; of half as many, the median's rank has a standard error of 0.5 / √2048 = 1.1 %. */
const MOST_RANGES = 4096;

/**
 * The range whose quantization step is the median over what shares a scale: a token, a head of it or a group in it.
 * A long stream keeps every 2nd, 4th, 8th … range, so that memory stays bounded.
 */
export class StreamingMedianRange {
  readonly #quantizer: ActivationQuantizer;
  readonly #lows = new Float32Array(MOST_RANGES);
  readonly #highs = new Float32Array(MOST_RANGES);
  #kept = 0;
  #seen = 0;
  #stride = 1;

  constructor(quantizer: ActivationQuantizer) {
    this.#quantizer = quantizer;
  }

  /** @param lows @param highs least and largest value of each. */
  add(lows: Float32Array, highs: Float32Array): void {
    for (let index = 0; index < lows.length; index++)
      if (this.#seen++ % this.#stride === 0) this.#keep(lows[index]!, highs[index]!);
  }

  result(): MedianRange | null {
    if (this.#kept === 0) return null;
    const byStep = Array.from({ length: this.#kept }, (_, index) => index).sort(
      (a, b) => this.#width(a) - this.#width(b),
    );
    const median = byStep[(this.#kept - 1) >> 1]!;
    return { min: this.#lows[median]!, max: this.#highs[median]! };
  }

  #keep(low: number, high: number): void {
    if (this.#kept === MOST_RANGES) this.#thin();
    this.#lows[this.#kept] = low;
    this.#highs[this.#kept] = high;
    this.#kept++;
  }

  /** Drops every other range. */
  #thin(): void {
    this.#kept /= 2;
    this.#stride *= 2;
    for (let index = 0; index < this.#kept; index++) {
      this.#lows[index] = this.#lows[2 * index]!;
      this.#highs[index] = this.#highs[2 * index]!;
    }
  }

  /** The step is proportional to this: max|x|, or hi − lo. */
  #width(index: number): number {
    const [low, high] = [this.#lows[index]!, this.#highs[index]!];
    const { symmetric, includeZero } = this.#quantizer;
    if (symmetric) return Math.max(Math.abs(low), Math.abs(high));
    return includeZero ? Math.max(high, 0) - Math.min(low, 0) : high - low;
  }
}
