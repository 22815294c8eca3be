/** The rows of docs/quality.md, as rows of an experiment's matrix. */
import type { ExperimentInput } from '../../../src/config/schema.ts';

type Quantization = NonNullable<ExperimentInput['quantization']>;
type Weights = NonNullable<Quantization['weights']>;

export interface QualityRow {
  readonly name: string;
  readonly title: string;
  /** The row of the product that it begins with. */
  readonly like: string;
  readonly quantization: Quantization;
  /** What running it costs beside SpinQuant with R3 and R4, in words; null for nothing. */
  readonly price: string | null;
  /** True for rows that are also measured at W4A8KV8 and on tasks. */
  readonly isAmongBest?: true;
}

/** Rows of the product that stand in the table as they are. */
export const KNOWN_ROWS: readonly string[] = ['rtn', 'quarot-gptq', 'spinquant-had-gptq', 'peak-gptq'];

/** GPTQ for what quantized layers read, see docs/results.md. */
const OUTPUTS: Weights['gptq'] = { inputs: 'quantized', target: 'outputs', damping: 0.3 };
const MEAN: Quantization = { keys: { offset: 'mean' } };

function peak(
  name: string,
  title: string,
  quantization: Quantization,
  more: Partial<QualityRow> = {},
): QualityRow {
  return { name, title, like: 'peak-gptq', quantization, price: null, ...more };
}

export const QUALITY_ROWS: readonly QualityRow[] = [
  peak('outputs', 'Peak, GPTQ for outputs', { weights: { gptq: OUTPUTS } }),
  peak('mean', 'Peak, GPTQ, keys without their mean', MEAN, { price: 'a row of the cache’s tables' }),
  peak('clip', 'Peak, GPTQ, activations clipped to 0.9', { activations: { clipRatio: 0.9 } }),
  peak(
    'best',
    'Peak, GPTQ for outputs, keys without their mean, clipped to 0.9',
    { ...MEAN, weights: { gptq: OUTPUTS }, activations: { clipRatio: 0.9 } },
    { price: 'a row of the cache’s tables', isAmongBest: true },
  ),
];
