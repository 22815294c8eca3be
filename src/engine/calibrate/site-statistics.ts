import type { SiteStatistics } from '../../runs/index.ts';
import type { ActivationQuantizer } from '../graph/kernels/fake-quantize.ts';
import { StreamingMedianRange } from './median-range.ts';

/** Bins of a histogram; a power of two so that pairs merge when the axis doubles. */
const BINS = 128;

/** Significant digits of channel maxima: enough for a picture, a quarter of the file. */
const SHOWN_DIGITS = 4;

/** Histogram, moments, channel maxima and the median range of one tensor, gathered over a stream of batches. */
export class StreamingStatistics {
  /** The axis is −limit … limit; limit is a power of two times the first batch's. */
  #limit = 0;
  #counts = new Float64Array(BINS);
  #count = 0;
  readonly #powers = new Float64Array(4);
  #maxima: Float64Array | null = null;
  #noise = 0;
  #tokens = 0;
  /** Batches whose values wait for the axis to be settled. */
  #pending: Float32Array[] = [];
  readonly #range: StreamingMedianRange | null;

  /** @param quantizer null where nothing is quantized. */
  constructor(quantizer: ActivationQuantizer | null) {
    this.#range = quantizer && new StreamingMedianRange(quantizer);
  }

  /**
   * @param rows [tokens, channels]. @param noise Σ(Q(x) − x)² over them, or null where nothing is quantized.
   */
  add(rows: Float32Array, channels: number, noise: number | null): void {
    this.#maxima ??= new Float64Array(channels);
    for (let i = 0, channel = 0; i < rows.length; i++) {
      const magnitude = Math.abs(rows[i]!);
      if (magnitude > this.#maxima[channel]!) this.#maxima[channel] = magnitude;
      if (++channel === channels) channel = 0;
    }
    this.#tokens += rows.length / channels;
    this.#noise = noise === null ? Number.NaN : this.#noise + noise;
    this.#addMoments(rows);
    this.#range?.add(rows, channels);
    this.#pending.push(rows);
  }

  get largest(): number {
    return this.#maxima?.reduce((max, value) => Math.max(max, value), 0) ?? 0;
  }

  /** Bins what was added on an axis that reaches at least `limit`; the axis only grows, by doubling. */
  bin(limit: number): void {
    if (this.#limit === 0) this.#limit = 2 ** Math.ceil(Math.log2(Math.max(limit, 2 ** -100)));
    while (this.#limit < limit) this.#double();
    const scale = BINS / (2 * this.#limit);
    for (const rows of this.#pending) {
      for (let i = 0; i < rows.length; i++) {
        const bin = Math.min(BINS - 1, Math.floor((rows[i]! + this.#limit) * scale));
        this.#counts[bin] = this.#counts[bin]! + 1;
      }
    }
    this.#pending = [];
  }

  result(): SiteStatistics {
    const n = this.#count;
    const [s1, s2, s3, s4] = this.#powers as unknown as [number, number, number, number];
    const mean = s1 / n;
    const variance = s2 / n - mean ** 2;
    const fourth = s4 / n - (4 * mean * s3) / n + (6 * mean ** 2 * s2) / n - 3 * mean ** 4;
    return {
      histogram: { min: -this.#limit, max: this.#limit, counts: Array.from(this.#counts) },
      channelMaxima: Array.from(this.#maxima ?? [], (value) => Number(value.toPrecision(SHOWN_DIGITS))),
      kurtosis: variance > 0 ? fourth / variance ** 2 : 0,
      sqnrDb: Number.isNaN(this.#noise) || this.#noise === 0 ? null : 10 * Math.log10(s2 / this.#noise),
      rms: Math.sqrt(s2 / n),
      maxAbs: this.largest,
      tokens: this.#tokens,
      medianRange: this.#range?.result() ?? null,
    };
  }

  #addMoments(rows: Float32Array): void {
    let [s1, s2, s3, s4] = [0, 0, 0, 0];
    for (let i = 0; i < rows.length; i++) {
      const x = rows[i]!;
      const square = x * x;
      s1 += x;
      s2 += square;
      s3 += square * x;
      s4 += square * square;
    }
    [s1, s2, s3, s4].forEach((sum, power) => {
      this.#powers[power] = this.#powers[power]! + sum;
    });
    this.#count += rows.length;
  }

  /** Twice the range in as many bins: pairs merge into the middle half. */
  #double(): void {
    const merged = new Float64Array(BINS);
    for (let bin = 0; bin < BINS; bin++) {
      const target = BINS / 4 + (bin >> 1);
      merged[target] = merged[target]! + this.#counts[bin]!;
    }
    this.#counts = merged;
    this.#limit *= 2;
  }
}
