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
  const at = (site: Site): ActivationQuantizer => {
    const described = siteQuantizer(site, quantization, rotation, layer);
    return described ? activationQuantizer(site, described, config) : FULL_PRECISION.input;
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
  const [input, gateUpInput] = [at('attention-input'), at('mlp-input')];
  return {
    weights: weightsWith(weights.bits),
    ...(Object.keys(others).length > 0 && { otherWeights: others }),
    input,
    ...(!isDeepStrictEqual(input, gateUpInput) && { gateUpInput }),
    outputInput: at('o-input'),
    downInput: at('down-input'),
    keys: at('key'),
    values: at('value'),
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
  const { offset, bits } = keys;
  // Before the calibration text has chosen, and without one, it is the bias.
  const part = offset === 'auto' ? 'bias' : offset;
  const isKnown = part === 'mean' || (attentionBias && !qkNorm);
  return part === 'none' || bits >= 16 || !isKnown ? {} : { keyOffset: part };
}

/** @throws UserError `quantization/group-size` when a group size does not divide what the site holds. */
function activationQuantizer(
  site: Site,
  { bits, symmetric, fullRange, clipRatio, includeZero, shares, groupSize }: SiteQuantizer,
  config: ModelConfig,
): ActivationQuantizer {
  const group = shares === 'head' ? config.headDim : channelsOfGroup(site, groupSize, config);
  return { bits, symmetric, ...(fullRange && { fullRange }), group, clipRatio, includeZero };
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

/** The linear layers that read a site, as messages name them. */
const READERS: Readonly<Partial<Record<Site, string>>> = {
  'attention-input': 'q, k and v',
  'o-input': 'o',
  'mlp-input': 'gate and up',
  'down-input': 'down',
};

/**
 * Refuses a group size that does not divide what these sites hold. Heads that are not mixed are groups of their own.
 * @param key of the experiment file that has the size.
 * @throws UserError `quantization/group-size`
 */
export function expectActivationGroups(
  groupSize: number | null,
  sites: readonly Site[],
  { acrossHeads }: Pick<Rotation, 'acrossHeads'>,
  config: ModelConfig,
  key = ACTIVATION_GROUPS,
): void {
  for (const site of sites) {
    if (site !== 'o-input' || acrossHeads) channelsOfGroup(site, groupSize, config, key);
  }
}

const ACTIVATION_GROUPS = 'quantization.activations.groupSize';

/**
 * Channels that share a scale at a site; 0 for whole tokens.
 * @throws UserError `quantization/group-size` when the size does not divide the site's width.
 */
function channelsOfGroup(
  site: Site,
  groupSize: number | null,
  config: ModelConfig,
  key = ACTIVATION_GROUPS,
): number {
  const width = widthOfSite(site, config);
  const group = site === 'down-input' ? downGroup(groupSize, config) : groupSize;
  if (group === null) return 0;
  if (width % group === 0) return group;
  throw new UserError(
    'quantization/group-size',
    `${key} is ${groupSize}, which does not divide the ${width} channels that ${READERS[site]} read.`,
    `Use ${sizesInWords(width)}, or null for one scale per token.`,
  );
}

function widthOfSite(site: Site, { hiddenSize, intermediateSize, heads, headDim }: ModelConfig): number {
  if (site === 'down-input') return intermediateSize;
  return site === 'o-input' ? heads * headDim : hiddenSize;
}

/** Sizes worth their price: those of 32 … 128 channels, or where a width has none, all. */
function sizesInWords(width: number): string {
  const divisors = Array.from({ length: width }, (_, i) => i + 1).filter((size) => width % size === 0);
  const usual = divisors.filter((size) => size >= 32 && size <= 128);
  const [last, ...others] = (usual.length > 0 ? usual : divisors).toReversed();
  return others.length > 0 ? `${others.reverse().join(', ')} or ${last}` : String(last);
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
