import type { SiteStatistics } from '../../../runs/index.ts';
import type { ActivationQuantizer } from '../../graph/fused/fake-quantize.ts';
import { Histogram } from './histogram.ts';
import { StreamingMedianRange } from './median-range.ts';
import { kurtosisOf, sqnrOf } from './moments.ts';
import type { Summary } from './summary.ts';

/** Significant digits of channel maxima: enough for a picture, a quarter of the file. */
const SHOWN_DIGITS = 4;

/** Histogram, moments, channel maxima and the median range of one tensor, gathered over a stream of batches. */
export class StreamingStatistics {
  readonly #histogram = new Histogram();
  readonly #powers = new Float64Array(4);
  #maxima: Float64Array | null = null;
  #noise = 0;
  readonly #range: StreamingMedianRange | null;

  /** @param quantizer null where nothing is quantized. */
  constructor(quantizer: ActivationQuantizer | null) {
    this.#range = quantizer && new StreamingMedianRange(quantizer);
  }

  /** Adds a batch's statistics; all have the same channels. */
  add({ sums, noise, largest, limit, counts }: Summary): void {
    this.#histogram.add(limit, counts);
    this.#noise = noise === null ? Number.NaN : this.#noise + noise;
    for (let power = 0; power < 4; power++) this.#powers[power] = this.#powers[power]! + sums[power]!;
    this.#maxima ??= new Float64Array(largest.length);
    for (let channel = 0; channel < largest.length; channel++)
      if (largest[channel]! > this.#maxima[channel]!) this.#maxima[channel] = largest[channel]!;
  }

  /** @param lows @param highs least and largest value of each token, head or group that shares a scale. */
  addRanges(lows: Float32Array, highs: Float32Array): void {
    this.#range?.add(lows, highs);
  }

  /** End of the shortest axis that holds all values. */
  get limit(): number {
    return this.#histogram.limit;
  }

  /** Σx². */
  get power(): number {
    return this.#powers[1]!;
  }

  /**
   * @param limit end of the histogram's axis: {@link limit} of this stream, or a longer one's.
   * @param whole Σx² that SQNR is against; that of this stream where a part of x was not taken out.
   */
  result(limit: number, whole = this.power): SiteStatistics {
    const n = this.#histogram.total;
    const { power } = this;
    const maxima = Array.from(this.#maxima ?? []);
    return {
      histogram: { min: -limit, max: limit, counts: Array.from(this.#histogram.on(limit)) },
      channelMaxima: maxima.map((value) => Number(value.toPrecision(SHOWN_DIGITS))),
      kurtosis: kurtosisOf(this.#powers, n),
      sqnrDb: sqnrOf(whole, this.#noise),
      rms: Math.sqrt(power / n),
      maxAbs: maxima.reduce((most, value) => Math.max(most, value), 0),
      tokens: n / maxima.length,
      medianRange: this.#range?.result() ?? null,
    };
  }
}
