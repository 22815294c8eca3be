import type { Bits, Quantization } from './schema-quantization.ts';
import type { Rotation } from './schema-rotation.ts';

/** The field's name of a setting: `W4A4KV4`, or `W4A4K4V8` where keys and values differ. */
export function bitsLabel(quantization: Quantization): string {
  const { weights, activations, keys, values } = quantization;
  const cache = keys.bits === values.bits ? `KV${keys.bits}` : `K${keys.bits}V${values.bits}`;
  return `W${weights.bits}A${activations.bits}${cache}`;
}

/** Whether learning has anything to do. */
export function hasLearnedRotation(rotation: Rotation): boolean {
  return rotation.r1 === 'learned' || rotation.r2 === 'learned';
}

interface LearnsOnQuantization {
  readonly quantization: Quantization;
  readonly rotation: Rotation;
}

/**
 * Bits of the weights while rotations are learned. Unless written, they follow the final rounding: GPTQ compensates
 * its own errors, so rotations are learned for 16-bit weights (SpinQuant, table 3); RTN does not.
 */
export function learningWeightBits(experiment: LearnsOnQuantization): Bits {
  const { bits, method } = experiment.quantization.weights;
  return experiment.rotation.learning.weightBits ?? (method === 'gptq' ? 16 : bits);
}

/** Whether the clipping ratio of the weights is searched inside the learning loop. */
export function learningWeightClip(experiment: LearnsOnQuantization): boolean {
  return experiment.rotation.learning.weightClip ?? experiment.quantization.weights.clip;
}

/** Whether weights are rounded by GPTQ, which looks at the calibration text. */
export function roundsByGptq({ weights }: Quantization): boolean {
  return weights.method === 'gptq' && weights.bits < 16;
}
