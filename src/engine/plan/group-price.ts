/** What scales for groups of channels cost at run time, beside one for each token. */
import { INPUT_OF_SITE, type ResolvedExperiment, siteQuantizer } from '../../config/index.ts';
import type { Site } from '../../protocol/block.ts';
import type { ModelConfig } from '../model/config.ts';
import { quantizersAt } from '../network/network-quantizers.ts';
import { readBy } from '../network/packed-weights.ts';
import { quantizersOf } from '../network/quantizers.ts';

/** A scale and a zero point of float32, as products of whole numbers hold them while they multiply. */
const SCALE_BITS = 64;
/** For each output and group: the zero points' part is taken off, a scale multiplied, and a total added to. */
const OPERATIONS_OF_GROUP = 3;
/** For each output and channel: a multiplication and an addition. */
const OPERATIONS_OF_CHANNEL = 2;

export interface GroupPrice {
  /** Channels of the groups that occur, in ascending order. */
  readonly sizes: readonly number[];
  /** Mean over all that linear layers read. */
  readonly bitsPerActivation: number;
  /** Operations that groups add, of those of the linear layers. */
  readonly share: number;
}

/** Heads that share a scale are no groups here: every network has them. @returns null where no site has groups. */
export function groupPrice(
  { quantization, rotation }: Pick<ResolvedExperiment, 'quantization' | 'rotation'>,
  config: ModelConfig,
): GroupPrice | null {
  const network = quantizersOf(quantization, rotation, config);
  const sizes = new Set<number>();
  let [scales, channels, added, all] = [0, 0, 0, 0];
  for (let layer = 0; layer < config.layers; layer++) {
    for (const { site, inputs, outputs, group } of readings(
      config,
      (linear) => readBy(linear, quantizersAt(network, layer)).group,
    )) {
      channels += inputs;
      all += OPERATIONS_OF_CHANNEL * inputs * outputs;
      if (group === 0 || siteQuantizer(site, quantization, rotation, layer)?.shares !== 'group') continue;
      sizes.add(group);
      scales += inputs / group;
      added += (OPERATIONS_OF_GROUP * inputs * outputs) / group;
    }
  }
  if (sizes.size === 0) return null;
  return {
    sizes: [...sizes].sort((a, b) => a - b),
    bitsPerActivation: (SCALE_BITS * scales) / channels,
    share: added / all,
  };
}

interface Reading {
  readonly site: Site;
  readonly inputs: number;
  /** Of all linear layers that read the site. */
  readonly outputs: number;
  readonly group: number;
}

function readings(
  { hiddenSize, intermediateSize, heads, kvHeads, headDim }: ModelConfig,
  groupOf: (linear: 'q' | 'o' | 'gate' | 'down') => number,
): readonly Reading[] {
  const sizes = [
    ['qkv', 'q', hiddenSize, (heads + 2 * kvHeads) * headDim],
    ['o', 'o', heads * headDim, hiddenSize],
    ['gate-up', 'gate', hiddenSize, 2 * intermediateSize],
    ['down', 'down', intermediateSize, hiddenSize],
  ] as const;
  return sizes.map(([site, linear, inputs, outputs]) => ({
    site: INPUT_OF_SITE[site],
    inputs,
    outputs,
    group: groupOf(linear),
  }));
}

/** The price for people; null where there is none. */
export function groupStatement(
  experiment: Pick<ResolvedExperiment, 'quantization' | 'rotation'>,
  config: ModelConfig,
): string | null {
  const price = groupPrice(experiment, config);
  if (!price) return null;
  const { sizes, bitsPerActivation, share } = price;
  return `activations: a scale and a zero point for each ${sizes.join(' or ')} channels, ${bitsPerActivation.toFixed(2)} bits more per activation while it is multiplied, and ${(100 * share).toPrecision(2)} % more operations in linear layers`;
}
