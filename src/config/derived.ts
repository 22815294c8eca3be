import type { SeamName } from '../protocol/block.ts';
import { choosesExceptions, hasExceptions, isQuantized } from './exceptions.ts';
import { type MethodDescriptor, methodNamed } from './methods/index.ts';
import type { Experiment } from './schema.ts';
import type { Bits } from './schema-bits.ts';
import {
  type ActivationQuantization,
  type CacheQuantization,
  type KeyOffset,
  LEARNED,
  type Quantization,
} from './schema-quantization.ts';
import type { Rotation } from './schema-rotation.ts';
import { NO_SCALING, type Scaling } from './schema-scaling.ts';
import { NO_TRAINING, type Training } from './schema-training.ts';

/** Returns the usual name of a setting: `W4A4KV4`, `W4A4K4V8` where keys and values differ, `W4A4KV4 mixed` with exceptions. */
export function bitsLabel(quantization: Quantization): string {
  const { weights, activations, keys, values } = quantization;
  const cache = keys.bits === values.bits ? `KV${keys.bits}` : `K${keys.bits}V${values.bits}`;
  const isChosen = quantization.budget !== undefined && isQuantized(quantization);
  const isMixed = isChosen || hasExceptions(quantization);
  const mixed = isMixed ? ' mixed' : '';
  return `W${weights.bits}A${activations.bits}${cache}${mixed}`;
}

/** True where a rotation is to be learned. */
export function hasLearnedRotation(rotation: Rotation): boolean {
  return rotation.r1 === 'learned' || rotation.r2 === 'learned';
}

/** True where the numbers of an experiment depend on its seeds. */
export function isSeeded(
  experiment: LearnsOnQuantization & { readonly scaling: Scaling; readonly training: Training },
): boolean {
  const { r1, r2 } = experiment.rotation;
  const methods = [trainingOf(experiment), scalingOf(experiment), roundingOf(experiment.quantization)];
  return r1 !== 'none' || r2 !== 'none' || methods.some((method) => method?.seeded === true);
}

/** Returns the same experiment without training or any map, to show what rounding alone gives. */
export function withoutMaps<E extends Pick<Experiment, 'rotation' | 'scaling' | 'training'>>(
  experiment: E,
): E {
  const { rotation, scaling, training } = experiment;
  return {
    ...experiment,
    rotation: { ...rotation, r1: 'none', r2: 'none', r3: false, r4: false, acrossHeads: false },
    scaling: { ...scaling, method: NO_SCALING },
    training: { ...training, method: NO_TRAINING },
  };
}

interface LearnsOnQuantization {
  readonly quantization: Quantization;
  readonly rotation: Rotation;
}

/**
 * Returns the bits of the weights while rotations are learned. Unless written, they follow the final rounding. If that
 * compensates its own errors, rotations are learned for 16-bit weights (SpinQuant, table 3).
 */
export function learningWeightBits(experiment: LearnsOnQuantization): Bits {
  const { bits, method } = experiment.quantization.weights;
  return experiment.rotation.learning.weightBits ?? (methodNamed(method).compensates ? 16 : bits);
}

/** True where the clipping ratio of the weights is searched inside the learning loop. */
export function learningWeightClip(experiment: LearnsOnQuantization): boolean {
  return experiment.rotation.learning.weightClip ?? experiment.quantization.weights.clip;
}

/** Returns a method's options from the section that names it; undefined for a method without options. */
export function optionsOf(section: Readonly<Record<string, unknown>>, name: string): unknown {
  return section[name];
}

/** Returns the seams that the scaling method of an experiment puts maps at, as far as its options ask for them. */
export function scaledSeams({ scaling }: { readonly scaling: Scaling }): readonly SeamName[] {
  const method = scalingOf({ scaling });
  return method?.uses?.(optionsOf(scaling, method.name)) ?? method?.seams ?? [];
}

/** Returns the method that rounds the weights; null where they stay as they are. */
export function roundingOf({ weights }: Quantization): MethodDescriptor | null {
  return weights.bits < 16 ? methodNamed(weights.method) : null;
}

/** Returns the method that scales channels before rounding; null for none. */
export function scalingOf({ scaling }: { readonly scaling: Scaling }): MethodDescriptor | null {
  return scaling.method === NO_SCALING ? null : methodNamed(scaling.method);
}

/** Returns the method that trains the weights before anything else; null for none. */
export function trainingOf({ training }: { readonly training: Training }): MethodDescriptor | null {
  return training.method === NO_TRAINING ? null : methodNamed(training.method);
}

/** True where keys are quantized without their mean, which a text tells. */
export function takesKeyMeans({ keys }: Quantization): boolean {
  return keys.offset === 'mean' && keys.bits < 16;
}

/**
 * True where it is left to the calibration text whether keys are quantized without their mean: something else must read
 * that text. Training has no place for means.
 */
export function choosesKeyOffset(experiment: Experiment): boolean {
  const { calibration, quantization, rotation, matrix } = experiment;
  const { offset, bits } = quantization.keys;
  if (offset !== 'auto' || bits >= 16 || calibration.text.length === 0) return false;
  // Cells of a table choose for themselves.
  if (matrix !== undefined || trainingOf(experiment) !== null) return false;
  const isRead = hasLearnedRotation(rotation) || methodsThatRead(experiment).length > 0;
  return isRead || quantizersReadText(quantization);
}

/** Returns the experiment with the part named that its keys are quantized without. */
export function withKeyOffset<E extends Pick<Experiment, 'quantization'>>(
  experiment: E,
  offset: KeyOffset,
): E {
  const { quantization } = experiment;
  return { ...experiment, quantization: { ...quantization, keys: { ...quantization.keys, offset } } };
}

/** True of what has a clip ratio in each site of each layer. */
export function hasSiteClips({ bits, clipRatio }: CacheQuantization | ActivationQuantization): boolean {
  return bits < 16 && typeof clipRatio !== 'number';
}

/** True where clip ratios of sites are searched on a text. */
export function searchesClips({ activations, keys, values }: Quantization): boolean {
  return [activations, keys, values].some(hasSiteClips);
}

/** True where they are learned behind that. */
export function learnsClips({ activations, keys, values }: Quantization): boolean {
  return [activations, keys, values].some(({ bits, clipRatio }) => bits < 16 && clipRatio === LEARNED);
}

/** True where the quantizers themselves depend on the calibration text. */
export function quantizersReadText(quantization: Quantization): boolean {
  return takesKeyMeans(quantization) || choosesExceptions(quantization) || searchesClips(quantization);
}

/** Returns the methods that must see the calibration text, in the order in which they act. */
export function methodsThatRead(
  experiment: Pick<LearnsOnQuantization, 'quantization'> & { readonly scaling: Scaling },
): readonly MethodDescriptor[] {
  const methods = [scalingOf(experiment), roundingOf(experiment.quantization)];
  return methods.filter((method) => method !== null).filter(({ needsText }) => needsText !== null);
}
