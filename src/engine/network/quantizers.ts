import { isDeepStrictEqual } from 'node:util';
import {
  type CacheQuantization,
  hasExceptions,
  type Quantization,
  quantizationOfSite,
  quantizationOfWeight,
  type Rotation,
  type SiteQuantizer,
  siteQuantizer,
} from '../../config/index.ts';
import { LINEARS, type Site } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { partialOf } from '../../protocol/records.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import type { ModelConfig } from '../model/config.ts';
import { FULL_PRECISION, type LayerQuantizers } from './layer-shape.ts';
import { type NetworkQuantizers, networkQuantizers } from './network-quantizers.ts';

/**
 * The quantizers of a network, as {@link siteQuantizer} describes them, with groups in channels of this model.
 * @throws UserError `quantization/group-size` when a group size does not divide a width.
 */
export function quantizersOf(
  quantization: Quantization,
  rotation: Pick<Rotation, 'acrossHeads'>,
  config: ModelConfig,
): NetworkQuantizers {
  const of = (layer: number | null): LayerQuantizers =>
    layerQuantizers(quantization, rotation, config, layer);
  const layers = hasExceptions(quantization)
    ? Array.from({ length: config.layers }, (_, layer) => layer)
    : [];
  return networkQuantizers(
    of(null),
    layers.map((layer) => [layer, of(layer)]),
  );
}

function layerQuantizers(
  quantization: Quantization,
  rotation: Pick<Rotation, 'acrossHeads'>,
  config: ModelConfig,
  layer: number | null,
): LayerQuantizers {
  const { weights } = quantization;
  const groups = activationGroups(groupSizeOf(quantization.activations), rotation, config);
  const at = (site: Site, group: number): ActivationQuantizer => {
    const described = siteQuantizer(site, quantization, rotation, layer);
    return described ? activationQuantizer(described, group, config) : FULL_PRECISION.input;
  };
  const weightsWith = (bits: number): WeightQuantizer => ({
    bits,
    symmetric: weights.symmetric,
    group: weightGroup(groupSizeOf(weights), config),
    clipSearch: weights.clip,
  });
  const others = partialOf(LINEARS, (linear) => {
    const { bits } = quantizationOfWeight(quantization, linear, layer);
    return bits === weights.bits ? null : weightsWith(bits);
  });
  const [input, gateUpInput] = [at('attention-input', groups.input), at('mlp-input', groups.input)];
  return {
    weights: weightsWith(weights.bits),
    ...(Object.keys(others).length > 0 && { otherWeights: others }),
    input,
    ...(!isDeepStrictEqual(input, gateUpInput) && { gateUpInput }),
    outputInput: at('o-input', groups.outputInput),
    downInput: at('down-input', groups.downInput),
    keys: at('key', 0),
    values: at('value', 0),
    ...keyOffsetOf(quantizationOfSite(quantization, 'key', layer), config),
    ...wholeTokensOf(quantizationOfSite(quantization, 'key', layer)),
  };
}

/** What is not quantized is whole anyway. */
function wholeTokensOf({ keys, values }: Quantization): Pick<LayerQuantizers, 'wholeTokens'> {
  const of = ({ bits, firstTokens }: CacheQuantization): number => (bits < 16 ? firstTokens : 0);
  const wholeTokens = { keys: of(keys), values: of(values) };
  return wholeTokens.keys > 0 || wholeTokens.values > 0 ? { wholeTokens } : {};
}

/** Keys that are not quantized have nothing to take out. A norm of heads stands between a bias and RoPE; means are behind it. */
function keyOffsetOf(
  { keys }: Quantization,
  { attentionBias, qkNorm }: ModelConfig,
): Pick<LayerQuantizers, 'keyOffset'> {
  const isKnown = keys.offset === 'mean' || (attentionBias && !qkNorm);
  return keys.offset === 'none' || keys.bits >= 16 || !isKnown ? {} : { keyOffset: keys.offset };
}

/** @param group channels of one scale where groups share one; 0 for whole tokens. */
function activationQuantizer(
  { bits, symmetric, clipRatio, includeZero, shares }: SiteQuantizer,
  group: number,
  { headDim }: ModelConfig,
): ActivationQuantizer {
  return { bits, symmetric, group: shares === 'head' ? headDim : group, clipRatio, includeZero };
}

/** The same, with the gradient going through the scales of activations too. */
export function withScaleGradient(quantizers: LayerQuantizers): LayerQuantizers {
  const live = (quantizer: ActivationQuantizer): ActivationQuantizer => ({
    ...quantizer,
    scaleGradient: true,
  });
  const { input, gateUpInput, outputInput, downInput, keys, values, ...others } = quantizers;
  return {
    ...others,
    input: live(input),
    ...(gateUpInput && { gateUpInput: live(gateUpInput) }),
    outputInput: live(outputInput),
    downInput: live(downInput),
    keys: live(keys),
    values: live(values),
  };
}

/** What is not rounded has no groups, whatever size is set. */
function groupSizeOf({
  bits,
  groupSize,
}: Pick<Quantization['weights' | 'activations'], 'bits' | 'groupSize'>): number | null {
  return bits === 16 ? null : groupSize;
}

/**
 * Inputs of a weight row that share a scale; 0 for whole rows.
 * @throws UserError `quantization/group-size` when the size does not divide the width of a linear layer.
 */
export function weightGroup(groupSize: number | null, config: ModelConfig): number {
  const { hiddenSize, intermediateSize, heads, headDim } = config;
  const widths = [hiddenSize, intermediateSize, heads * headDim];
  return checkedGroup('quantization.weights.groupSize', groupSize, widths);
}

/**
 * Channels that share a scale, at the inputs of hidden width and at those of o and down; 0 for whole tokens.
 * @throws UserError `quantization/group-size` when the size does not divide a width.
 */
export function activationGroups(
  groupSize: number | null,
  { acrossHeads }: Pick<Rotation, 'acrossHeads'>,
  config: ModelConfig,
): { readonly input: number; readonly outputInput: number; readonly downInput: number } {
  const key = 'quantization.activations.groupSize';
  const { hiddenSize, heads, headDim } = config;
  return {
    input: checkedGroup(key, groupSize, [hiddenSize]),
    // Where heads are not mixed, they are the groups.
    outputInput: acrossHeads ? checkedGroup(key, groupSize, [hiddenSize, heads * headDim]) : 0,
    downInput: checkedGroup(key, downGroup(groupSize, config), [config.intermediateSize]),
  };
}

/** A group size that does not divide the width of down_proj gives way to as many groups as the hidden size has. */
function downGroup(groupSize: number | null, config: ModelConfig): number | null {
  const { hiddenSize, intermediateSize } = config;
  if (groupSize === null || intermediateSize % groupSize === 0) return groupSize;
  const groups = hiddenSize / groupSize;
  return Number.isInteger(groups) && intermediateSize % groups === 0 ? intermediateSize / groups : groupSize;
}

/** @returns 0 for whole rows. */
function checkedGroup(key: string, groupSize: number | null, widths: readonly number[]): number {
  if (groupSize === null) return 0;
  const bad = widths.find((width) => width % groupSize !== 0);
  if (bad === undefined) return groupSize;
  throw new UserError(
    'quantization/group-size',
    `${key} is ${groupSize}, which does not divide the width ${bad} of this model.`,
    `Use a divisor of ${[...new Set(widths)].join(' and ')}, or null for one scale per row.`,
  );
}
