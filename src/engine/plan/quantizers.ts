import {
  type ActivationQuantization,
  learningWeightBits,
  learningWeightClip,
  type ResolvedExperiment,
} from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';

/**
 * The quantizer of every site from the experiment file, as SpinQuant places them: whole tokens at the inputs of
 * q, k, v, gate, up and down (zero inside the range); one scale per head at the input of o, for values, and for keys.
 * @throws UserError when a group size does not divide a width.
 */
export function quantizersOf(experiment: ResolvedExperiment, config: ModelConfig): LayerQuantizers {
  const { weights, activations, keys, values } = experiment.quantization;
  const { headDim } = config;
  const groups = activationGroups(activations.groupSize, config);
  const cache = (side: typeof keys, includeZero: boolean): ActivationQuantizer => ({
    bits: side.bits,
    symmetric: side.symmetric,
    group: headDim,
    clipRatio: side.clipRatio,
    includeZero,
  });
  return {
    weights: {
      bits: weights.bits,
      symmetric: weights.symmetric,
      group: weightGroup(weights.groupSize, config),
      clipSearch: weights.clip,
    },
    input: activationQuantizer(activations, groups.input),
    outputInput: { ...activationQuantizer(activations, 0), group: headDim, includeZero: false },
    downInput: activationQuantizer(activations, groups.downInput),
    // Keys go through the per-token range (zero inside), values through the group range, as in the reference.
    keys: cache(keys, true),
    values: cache(values, false),
  };
}

/** The same with the weights as they are inside the learning loop, and the gradient through scales if it is wanted. */
export function learningQuantizersOf(experiment: ResolvedExperiment, config: ModelConfig): LayerQuantizers {
  const final = quantizersOf(experiment, config);
  const bits = learningWeightBits(experiment);
  const weights = { ...final.weights, bits, clipSearch: learningWeightClip(experiment) };
  if (!experiment.rotation.learning.scaleGradient) return { ...final, weights };
  const live = (quantizer: ActivationQuantizer): ActivationQuantizer => ({
    ...quantizer,
    scaleGradient: true,
  });
  return {
    weights,
    input: live(final.input),
    outputInput: live(final.outputInput),
    downInput: live(final.downInput),
    keys: live(final.keys),
    values: live(final.values),
  };
}

/** @param group channels of one scale; 0 for whole tokens. */
function activationQuantizer(settings: ActivationQuantization, group: number): ActivationQuantizer {
  return {
    bits: settings.bits,
    symmetric: settings.symmetric,
    group,
    clipRatio: settings.clipRatio,
    includeZero: group === 0,
  };
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
 * Channels that share a scale, at the inputs of hidden width and at that of down; 0 for whole tokens.
 * @throws UserError `quantization/group-size` when the size does not divide a width.
 */
export function activationGroups(
  groupSize: number | null,
  config: ModelConfig,
): { readonly input: number; readonly downInput: number } {
  const key = 'quantization.activations.groupSize';
  return {
    input: checkedGroup(key, groupSize, [config.hiddenSize]),
    downInput: checkedGroup(key, downGroup(groupSize, config), [config.intermediateSize]),
  };
}

/** Where the group does not divide the width of down_proj, as many groups as the hidden size has. */
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
