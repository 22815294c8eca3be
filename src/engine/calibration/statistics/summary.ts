import type { HostTensor } from '../../../protocol/tensor.ts';
import { BLOCK_SUMS } from '../../graph/fused/activation-statistics.ts';
import { axisLimit, BINS } from './histogram.ts';

/** Statistics of some rows of a tensor, for {@link StreamingStatistics}. */
export interface Summary {
  /** Σx, Σx², Σx³, Σx⁴. */
  readonly sums: ArrayLike<number>;
  /** Σ(Q(x) − x)²; null where nothing is quantized. */
  readonly noise: number | null;
  /** max|x| [channels]. */
  readonly largest: Float32Array;
  /** Ends of the histogram's axis: a power of two above every |x|. */
  readonly limit: number;
  /** Values in each of the bins of −limit … limit. */
  readonly counts: ArrayLike<number>;
}

/**
 * Summarizes rows in loops.
 * @param rows [tokens, channels].
 */
export function summarize(rows: Float32Array, channels: number, noise: number | null): Summary {
  const largest = channelMaxima(rows, channels);
  const limit = axisLimit(largest.reduce((most, value) => Math.max(most, value), 0));
  return {
    sums: powerSums(rows),
    noise,
    largest,
    limit,
    counts: binCounts(rows, limit),
  };
}

function channelMaxima(rows: Float32Array, channels: number): Float32Array {
  const largest = new Float32Array(channels);
  for (let start = 0; start < rows.length; start += channels) {
    for (let channel = 0; channel < channels; channel++) {
      const magnitude = Math.abs(rows[start + channel]!);
      if (magnitude > largest[channel]!) largest[channel] = magnitude;
    }
  }
  return largest;
}

function powerSums(rows: Float32Array): number[] {
  let [s1, s2, s3, s4] = [0, 0, 0, 0];
  for (let i = 0; i < rows.length; i++) {
    const x = rows[i]!;
    const square = x * x;
    s1 += x;
    s2 += square;
    s3 += square * x;
    s4 += square * square;
  }
  return [s1, s2, s3, s4];
}

/** Neighbours often fall into one bin: tables of their own keep one increment from waiting for the last. */
function binCounts(rows: Float32Array, limit: number): Uint32Array {
  const [even, odd] = [new Uint32Array(BINS), new Uint32Array(BINS)];
  const half = BINS / 2;
  const scale = half / limit;
  const pairs = rows.length - (rows.length % 2);
  for (let i = 0; i < pairs; i += 2) {
    const [first, second] = [Math.floor(rows[i]! * scale) + half, Math.floor(rows[i + 1]! * scale) + half];
    even[first] = even[first]! + 1;
    odd[second] = odd[second]! + 1;
  }
  if (pairs < rows.length) {
    const last = Math.floor(rows[pairs]! * scale) + half;
    even[last] = even[last]! + 1;
  }
  return even.map((count, bin) => count + odd[bin]!);
}

/**
 * The blocks that the operator ActivationStatistics has summarized.
 * @param quantized whether its second input was.
 */
export function blockSummaries(
  { sums, largest, counts }: Readonly<Record<'sums' | 'largest' | 'counts', HostTensor<Float32Array>>>,
  quantized: boolean,
): Summary[] {
  const row = ({ data, dims }: HostTensor<Float32Array>, block: number): Float32Array =>
    data.subarray(block * dims[1]!, (block + 1) * dims[1]!);
  return Array.from({ length: largest.dims[0]! }, (_, block) => {
    const own = row(sums, block);
    return {
      sums: own.subarray(0, 4),
      noise: quantized ? own[4]! : null,
      largest: row(largest, block),
      limit: own[BLOCK_SUMS - 1]!,
      counts: row(counts, block),
    };
  });
}
