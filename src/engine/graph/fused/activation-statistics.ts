import { intAttribute, type OpDefinition, type Value } from '../graph.ts';

/** A block of this many values fits a processor core's cache, and float32 counts them exactly. */
const BLOCK_VALUES = 2 ** 16;

/**
 * This operator has no composed form: no standard operators count into bins. Runtimes without our kernels output the
 * rows instead.
 */
export const ActivationStatistics: OpDefinition = {
  name: 'ActivationStatistics',
  domain: 'spinquant',
  infer([x], attributes) {
    const blocks = Math.ceil(x!.dim(0) / intAttribute(attributes, 'block_rows'));
    const channels = x!.dim(1);
    const groups = [x!.dim(0), channels / (intAttribute(attributes, 'group') || channels)];
    const bins = intAttribute(attributes, 'bins');
    const shapes = [[blocks, BLOCK_SUMS], [blocks, channels], [blocks, bins], groups, groups];
    return shapes.map((dims) => ({ dtype: x!.dtype, dims }));
  },
};

/** A block has these numbers in the first output: Σx, Σx², Σx³, Σx⁴, Σ(y − x)² and the end of the histogram's axis. */
export const BLOCK_SUMS = 6;

export interface BlockStatistics {
  /** [blocks, {@link BLOCK_SUMS}], each summed in double precision and rounded once. */
  readonly sums: Value;
  /** max|x| [blocks, channels]. */
  readonly largest: Value;
  /** Number of values in each of the equally wide bins from −limit to limit, [blocks, bins]. */
  readonly counts: Value;
  /** Least and largest x of the channels that share a scale, [T, channels / group]. */
  readonly lows: Value;
  readonly highs: Value;
}

/**
 * Computes statistics of blocks of rows x [T, channels]. Each block has its own histogram axis: limit is the least
 * power of two above every |x|, 2⁻¹⁰⁰ for zeros.
 * @param y x quantized, or x itself. @param group channels that share a scale; 0 for all of a row.
 */
export function activationStatistics(x: Value, y: Value, group: number, bins: number): BlockStatistics {
  const rows = Math.max(1, Math.floor(BLOCK_VALUES / x.dim(1)));
  const attributes = { block_rows: rows, group, bins };
  const outputs = x.graph.apply(ActivationStatistics, [x, y], attributes);
  const [sums, largest, counts, lows, highs] = outputs as [Value, Value, Value, Value, Value];
  return { sums, largest, counts, lows, highs };
}
