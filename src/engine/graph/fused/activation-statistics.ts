import { intAttribute, type OpDefinition, type Value } from '../graph.ts';

/** Values in a block: what a processor core keeps close, and few enough for float32 to count them. */
const BLOCK_VALUES = 2 ** 16;

/**
 * Has no composed form: counting into bins takes no standard operators. Runtimes without our kernels give the rows out
 * instead.
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

/** Numbers of a block in the first output: Σx, Σx², Σx³, Σx⁴, Σ(y − x)² and the end of the histogram's axis. */
export const BLOCK_SUMS = 6;

export interface BlockStatistics {
  /** [blocks, {@link BLOCK_SUMS}], each summed in double precision and rounded once. */
  readonly sums: Value;
  /** max|x| [blocks, channels]. */
  readonly largest: Value;
  /** Values in each of the equally wide bins from −limit to limit [blocks, bins]. */
  readonly counts: Value;
  /** Least and largest x of the channels that share a scale [T, channels / group]. */
  readonly lows: Value;
  readonly highs: Value;
}

/**
 * Statistics of blocks of rows x [T, channels], each block with a histogram axis of its own: limit is the least power of
 * two above every |x|, 2⁻¹⁰⁰ for zeros.
 * @param y the same, quantized; or x itself. @param group channels that share a scale; 0 for all of a row.
 */
export function activationStatistics(x: Value, y: Value, group: number, bins: number): BlockStatistics {
  const rows = Math.max(1, Math.floor(BLOCK_VALUES / x.dim(1)));
  const attributes = { block_rows: rows, group, bins };
  const outputs = x.graph.apply(ActivationStatistics, [x, y], attributes);
  const [sums, largest, counts, lows, highs] = outputs as [Value, Value, Value, Value, Value];
  return { sums, largest, counts, lows, highs };
}
