/** Rules for experiments that train the weights. */
import { trainingOf } from './derived.ts';
import { formatPath, type RuleFault } from './faults.ts';
import type { Experiment } from './schema.ts';
import { NO_SCALING } from './schema-scaling.ts';

const PATH = ['training', 'method'] as const;

function refused(code: string, message: string, hint: string): RuleFault[] {
  return [{ severity: 'error', code, path: [...PATH], message: `${formatPath(PATH)}: ${message}`, hint }];
}

/** Weights are trained in the channels of the checkpoint. */
export function trainingWithMaps(experiment: Experiment): RuleFault[] {
  const method = trainingOf(experiment);
  if (method === null) return [];
  const { rotation, scaling, quantization } = experiment;
  const { r1, r2, r3, r4, embeddingCentring } = rotation;
  const acting = [
    ...(r1 === 'none' ? [] : [`rotation.r1 is "${r1}"`]),
    ...(r2 === 'none' ? [] : [`rotation.r2 is "${r2}"`]),
    ...(r3 && quantization.keys.bits < 16 ? ['rotation.r3 is true'] : []),
    ...(r4 ? ['rotation.r4 is true'] : []),
    ...(embeddingCentring ? ['rotation.embeddingCentring is true'] : []),
    ...(quantization.keys.offset === 'mean' && quantization.keys.bits < 16
      ? ['quantization.keys.offset is "mean"']
      : []),
    ...(scaling.method === NO_SCALING ? [] : [`scaling.method is "${scaling.method}"`]),
  ];
  if (acting.length === 0) return [];
  return refused(
    'training/maps',
    `${method.title} trains the weights of the network without rotation and without scaling, and ${acting.join(', ')}.`,
    'Set rotation.r1 and r2 to "none", r3, r4 and embeddingCentring to false, scaling.method to "none" and quantization.keys.offset to "bias".',
  );
}

/** Without rounding errors the derivative is noise, and training moves the weights along it. */
export function trainingOfNothing(experiment: Experiment): RuleFault[] {
  const method = trainingOf(experiment);
  const { weights, activations, keys, values } = experiment.quantization;
  if (method === null || [weights, activations, keys, values].some(({ bits }) => bits < 16)) return [];
  return refused(
    'training/nothing-quantized',
    `${method.title} has nothing to train for: weights, activations, keys and values all have 16 bits.`,
    'Give some of them fewer than 16 bits, or set training.method to "none".',
  );
}
