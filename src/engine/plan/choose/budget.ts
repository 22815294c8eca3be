/** Places for more bits, chosen so that the average of bits stays within a budget. */
import {
  EXCEPTION_SITES,
  type Exception,
  hasExceptions,
  INPUT_OF_SITE,
  LINEARS_OF_SITE,
  type Quantization,
  quantizationOfSite,
  quantizationOfWeight,
  roundingOf,
} from '../../../config/index.ts';
import type { Linear } from '../../../protocol/block.ts';
import type { AttributionFile, AverageBits } from '../../../runs/index.ts';
import type { ModelConfig } from '../../model/config.ts';
import type { Workbench } from '../workbench.ts';
import { partsOf } from './layers-by-cost.ts';

/** Of rounding to 8 bits, little is left: its error is 2⁻⁴ of that of 4 bits, and its square 2⁻⁸. */
const MORE = { bits: 8 } as const;
/** The ends of a range that has enough steps are not cut. */
const MORE_OF_RANGE = { ...MORE, clipRatio: 1 } as const;

/** Multiplications of a token in one layer, by what they multiply: attention sees half of a sequence on average. */
function products(config: ModelConfig, sequence: number) {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim } = config;
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const sizes: Readonly<Record<Linear, number>> = {
    q: d * queries,
    k: d * keys,
    v: d * keys,
    o: d * queries,
    gate: d * f,
    up: d * f,
    down: d * f,
  };
  return { sizes, attention: (queries * sequence) / 2 };
}

/**
 * Average bits of what a token's multiplications multiply: half those of the weight and half those of the activation in
 * linear layers, those of keys in scores, and those of values in their sums.
 * @param sequence tokens of a text, which decides how much attention multiplies.
 */
export function averageBits(quantization: Quantization, config: ModelConfig, sequence: number): number {
  const { sizes, attention } = products(config, sequence);
  let [bits, all] = [0, 0];
  const add = (count: number, own: number): void => {
    bits += count * own;
    all += count;
  };
  for (let layer = 0; layer < config.layers; layer++) {
    for (const site of EXCEPTION_SITES) {
      const input = quantizationOfSite(quantization, INPUT_OF_SITE[site], layer).activations.bits;
      for (const linear of LINEARS_OF_SITE[site])
        add(sizes[linear], (quantizationOfWeight(quantization, linear, layer).bits + input) / 2);
    }
    add(attention, quantizationOfSite(quantization, 'key', layer).keys.bits);
    add(attention, quantizationOfSite(quantization, 'value', layer).values.bits);
  }
  return bits / all;
}

/** Average bits for the results of an experiment; nothing where no place has others than the rest. */
export function mixedBits({
  experiment: { quantization, calibration },
  checkpoint: { config },
}: Pick<Workbench, 'experiment' | 'checkpoint'>): { readonly averageBits?: AverageBits } {
  if (!hasExceptions(quantization)) return {};
  const bitsOf = (own: Quantization) => averageBits(own, config, calibration.sequenceLength);
  const uniform = bitsOf({ ...quantization, exceptions: undefined });
  return { averageBits: { mixed: bitsOf(quantization), uniform } };
}

/** One place that could have more bits. */
interface Candidate {
  readonly exception: Exception & { readonly layers: number[] };
  /** Nats per token that its rounding costs. */
  readonly gain: number;
  /** Average bits that it adds. */
  readonly price: number;
}

/**
 * Exceptions of 8 bits within a budget: by what each place costs the loss for each bit that it would add, the dearest
 * first, as long as they fit. Places of one kind become one exception of several layers.
 * @param quantization without exceptions.
 */
export function exceptionsWithin(
  budget: number,
  quantization: Quantization,
  attribution: Pick<AttributionFile, 'cells'>,
  { config, sequence }: { readonly config: ModelConfig; readonly sequence: number },
): Exception[] {
  let left = budget - averageBits(quantization, config, sequence);
  const chosen: Candidate[] = [];
  const candidates = candidatesOf(quantization, attribution, config, sequence);
  for (const candidate of candidates.sort((a, b) => b.gain / b.price - a.gain / a.price)) {
    if (candidate.gain <= 0 || candidate.price > left) continue;
    left -= candidate.price;
    chosen.push(candidate);
  }
  return merged(chosen.map(({ exception }) => exception));
}

function candidatesOf(
  quantization: Quantization,
  { cells }: Pick<AttributionFile, 'cells'>,
  config: ModelConfig,
  sequence: number,
): Candidate[] {
  const base = averageBits(quantization, config, sequence);
  // Codebooks have no 8 bits.
  const hasWeights = roundingOf(quantization)?.bits === undefined;
  const sited = EXCEPTION_SITES.flatMap((sites) => [
    { sites, activations: MORE_OF_RANGE },
    ...(hasWeights ? [{ sites, weights: MORE }] : []),
  ]);
  const kinds = [...sited, { keys: MORE_OF_RANGE }, { values: MORE_OF_RANGE }] as const;
  return Array.from({ length: config.layers }, (_, layer) => layer).flatMap((layer) =>
    kinds.flatMap((kind) => {
      const exception = { sites: [...EXCEPTION_SITES], ...kind, layers: [layer] };
      const price = averageBits({ ...quantization, exceptions: [exception] }, config, sequence) - base;
      if (price <= 0) return [];
      const parts = partsOf(exception);
      const own = cells.filter((cell) => cell.layer === layer && parts.includes(cell.part));
      return [{ exception, gain: own.reduce((sum, { share }) => sum + share, 0), price }];
    }),
  );
}

function merged(exceptions: readonly Candidate['exception'][]): Exception[] {
  const byKind = new Map<string, Candidate['exception']>();
  for (const { layers, ...kind } of exceptions) {
    const key = JSON.stringify(kind);
    const known = byKind.get(key)?.layers ?? [];
    byKind.set(key, { ...kind, layers: [...known, ...layers].sort((a, b) => a - b) });
  }
  return [...byKind.values()];
}
