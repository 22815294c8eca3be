/** Whether keys are quantized without their mean, where an experiment leaves that to its calibration text. */
import {
  choosesKeyOffset,
  exceptionsSpec,
  type ResolvedExperiment,
  resolvedCells,
  withKeyOffset,
} from '../../config/index.ts';
import type { KeyOffsetChoice } from '../../runs/index.ts';
import type { KeyComparison, KeySqnr } from '../calibration/key-means.ts';
import type { ModelConfig } from '../model/config.ts';
import { quantizersOf } from '../network/quantizers.ts';
import { rotationMaps } from './experiment-maps.ts';
import { digestOf } from './step.ts';

/** What was chosen, by the quantizers of keys that it was chosen for. */
export type KeyChoices = Readonly<Record<string, KeyOffsetChoice>>;

/**
 * Without their mean, keys need a row for each position, and so little is what another text would have given: decibels
 * that the mean has to be worth.
 */
const LEAST_GAIN_DB = 0.1;

/** The experiment and the cells of its table, as far as they leave it to the text. */
export function choosingIn(experiment: ResolvedExperiment): ResolvedExperiment[] {
  const cells = resolvedCells(experiment).map((cell) => cell.experiment);
  return [experiment, ...cells].filter(choosesKeyOffset);
}

/** Names the quantizers of keys, and what stands in front of them: all that decides beside the text. */
export function keyQuantizersName({ quantization, rotation }: ResolvedExperiment): string {
  const { bits, symmetric, clipRatio } = quantization.keys;
  // Ratios are searched behind the choice: until then nothing is clipped.
  const ratio = typeof clipRatio === 'number' ? clipRatio : 1;
  const keys = { bits, symmetric, clipRatio: ratio, ...exceptionsSpec(quantization) };
  return digestOf({ keys, r3: rotation.r3 }).slice(0, 16);
}

/** What is compared for an experiment that leaves the choice open. */
export function comparisonOf(experiment: ResolvedExperiment, config: ModelConfig): KeyComparison {
  const { 'query-key': r3 } = rotationMaps(experiment, config);
  const { quantization, rotation } = withKeyOffset(experiment, 'bias');
  return { ...quantizersOf(quantization, rotation, config), maps: r3 ? { 'query-key': r3 } : {} };
}

/** @param sqnr of {@link comparisonOf}. */
export function chosenBy(
  { kept, apart }: KeySqnr,
  { attentionBias, qkNorm }: Pick<ModelConfig, 'attentionBias' | 'qkNorm'>,
): KeyOffsetChoice {
  const rest = attentionBias && !qkNorm ? 'bias' : 'none';
  const taken = apart - kept >= LEAST_GAIN_DB ? 'mean' : rest;
  return { taken, rest, sqnrDb: { rest: kept, mean: apart } };
}

/** An experiment that leaves nothing open about its keys. */
export interface Chosen {
  readonly experiment: ResolvedExperiment;
  /** What the calibration text chose; absent where it was not asked. */
  readonly keyChoice?: KeyOffsetChoice;
}

/** Names the part that keys are quantized without. */
export function withKeyChoice(experiment: ResolvedExperiment, choices: KeyChoices): Chosen {
  if (experiment.quantization.keys.offset !== 'auto') return { experiment };
  const keyChoice = choosesKeyOffset(experiment) ? choices[keyQuantizersName(experiment)] : undefined;
  // Models without a bias have none to take out by it: so it stands in keys of steps as ever.
  const offset = keyChoice?.taken === 'mean' ? 'mean' : 'bias';
  return { experiment: withKeyOffset(experiment, offset), ...(keyChoice && { keyChoice }) };
}

const PARTS = { bias: 'without the bias of k_proj', mean: 'without their mean', none: 'whole' } as const;

/** A sentence about what decided. */
export function choiceStatement({ taken, rest, sqnrDb }: KeyOffsetChoice): string {
  const db = (value: number): string => `${value.toFixed(1)} dB`;
  const verb = taken === 'mean' ? 'chosen' : 'not chosen';
  return `keys ${PARTS.mean}: ${verb} on the calibration text, ${db(sqnrDb.mean)} above the error of rounding on average over the layers, ${PARTS[rest]} ${db(sqnrDb.rest)}`;
}
