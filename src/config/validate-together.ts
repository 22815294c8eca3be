/** These rules tie several keys of an experiment together. */
import { hasLearnedRotation, learningWeightBits, methodsThatRead, roundingOf, scalingOf } from './derived.ts';
import { EXCEPTION_RULES } from './exception-rules.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import { betweenOptions } from './method-rules.ts';
import { methodNamed } from './methods/index.ts';
import { scalesAndRotation, scalesBeforeRotation, scalesForNothing } from './scaling-rules.ts';
import type { Experiment } from './schema.ts';
import { isThroughNetwork } from './schema-rotation.ts';
import { tasksOfEntry } from './schema-tasks.ts';
import { trainingOfNothing, trainingWithMaps } from './training-rules.ts';
import {
  learningOfNothing,
  optionsOfOtherMethods,
  settingsOfNothing,
  stepsWithoutGradient,
} from './unused-options.ts';

/** An experiment is shown while it is edited, or run by one of the commands. */
export type Purpose = 'edit' | 'optimize' | 'evaluate' | 'inspect';

/** A matrix is filled by optimize; the other commands measure the experiment as it is written. */
export function fillsMatrix(purpose: Purpose): boolean {
  return purpose === 'edit' || purpose === 'optimize';
}

function error(code: string, path: JsonPath, message: string, hint: string): RuleFault {
  return { severity: 'error', code, path, message: `${formatPath(path)}: ${message}`, hint };
}

function warning(code: string, path: JsonPath, message: string, hint: string): RuleFault {
  return { severity: 'warning', code, path, message: `${formatPath(path)}: ${message}`, hint };
}

/**
 * A rule checks one thing that can be wrong between keys. Rules are many and small: a rule that reads a value at fault
 * reports nothing, and the others still do.
 */
export type Rule = (experiment: Experiment, purpose: Purpose) => RuleFault[];

const RULES: readonly Rule[] = [
  nothingLearned,
  noCalibrationText,
  microBatchTooLarge,
  nothingToEvaluate,
  r4Off,
  r3Off,
  embeddingCentring,
  nothingQuantized,
  otherWeightBits,
  bitsOfMethod,
  weightsOnly,
  gridOfLattice,
  unusedScaleGradient,
  unusedMassiveWeight,
  stepsWithoutGradient,
  mixedHeads,
  fewSamples,
  betweenOptions,
  trainingWithMaps,
  trainingOfNothing,
  scaledTwice,
  optionsOfOtherMethods,
  learningOfNothing,
  settingsOfNothing,
  scalesAndRotation,
  scalesBeforeRotation,
  scalesForNothing,
  ...EXCEPTION_RULES,
];

/** Returns all rules for an experiment with so many texts and tasks to measure on. */
export function rulesFor(texts: number, tasks: number): readonly Rule[] {
  return [
    ...RULES,
    ...Array.from({ length: texts }, (_, index) => sameName(index)),
    ...Array.from({ length: tasks }, (_, index) => sameTask(index)),
  ];
}

/**
 * Returns the faults between keys, each of which is valid alone. An `error` stops the run. A `warning` is a setting
 * that works but is rarely what a person wants.
 */
export function validateTogether(experiment: Experiment, purpose: Purpose = 'edit'): RuleFault[] {
  const { perplexity, tasks } = experiment.evaluation;
  return rulesFor(perplexity.length, tasks.length).flatMap((rule) => rule(experiment, purpose));
}

function nothingLearned({ rotation }: Experiment, purpose: Purpose): RuleFault[] {
  if (purpose !== 'optimize' || hasLearnedRotation(rotation)) return [];
  return [
    error(
      'config/nothing-learned',
      ['rotation'],
      `r1 is "${rotation.r1}" and r2 is "${rotation.r2}", so there is nothing to learn.`,
      'Set rotation.r1 or rotation.r2 to "learned", or evaluate this experiment instead.',
    ),
  ];
}

function noCalibrationText(experiment: Experiment, purpose: Purpose): RuleFault[] {
  const { rotation, calibration } = experiment;
  if (calibration.text.length > 0 || purpose === 'inspect') return [];
  const path = ['calibration', 'text'];
  const [reader] = methodsThatRead(experiment);
  if (hasLearnedRotation(rotation) && purpose !== 'evaluate') {
    return [
      error(
        'config/no-calibration-text',
        path,
        'a learned rotation needs a text to learn on.',
        reader
          ? `Name a text file in calibration.text; ${reader.title} needs it, too.`
          : 'Name a text file in calibration.text, or set r1 and r2 to "hadamard".',
      ),
    ];
  }
  if (!reader) return [];
  const without =
    reader.kind === 'scaling' ? 'scaling.method to "none"' : 'quantization.weights.method to "rtn"';
  return [
    error(
      'config/no-calibration-text',
      path,
      `${reader.title} needs a text ${reader.needsText}.`,
      `Name a text file in calibration.text, or set ${without}.`,
    ),
  ];
}

function microBatchTooLarge({ rotation }: Experiment): RuleFault[] {
  const { microBatch, batchSize } = rotation.learning;
  if (microBatch === null || microBatch <= batchSize) return [];
  return [
    error(
      'config/micro-batch',
      ['rotation', 'learning', 'microBatch'],
      `${microBatch} sequences at once are more than the batch of ${batchSize}.`,
      `Use 1 to ${batchSize}, or null.`,
    ),
  ];
}

function nothingToEvaluate({ evaluation }: Experiment, purpose: Purpose): RuleFault[] {
  if (purpose !== 'evaluate' || evaluation.perplexity.length > 0 || evaluation.tasks.length > 0) return [];
  return [
    error(
      'config/no-evaluation',
      ['evaluation', 'perplexity'],
      'there is nothing to evaluate.',
      'Add { "name": "wikitext2", "text": "path/to/test.txt" } to evaluation.perplexity, or { "task": "piqa", "data": "path/to/piqa" } to evaluation.tasks.',
    ),
  ];
}

function sameName(index: number): Rule {
  return ({ evaluation }) => {
    const { name } = evaluation.perplexity[index]!;
    if (evaluation.perplexity.findIndex((other) => other.name === name) === index) return [];
    return [
      error(
        'config/same-name',
        ['evaluation', 'perplexity', index, 'name'],
        `"${name}" names two measurements.`,
        'Give each its own name: results are found by it.',
      ),
    ];
  };
}

/** Of two entries with one task, the later one is at fault. */
function sameTask(index: number): Rule {
  return ({ evaluation }) => {
    const own = tasksOfEntry(evaluation.tasks[index]!, index).map(({ task }) => task);
    const before = evaluation.tasks.slice(0, index).flatMap((entry, place) => tasksOfEntry(entry, place));
    const twice = before.find(({ task }) => own.includes(task));
    if (!twice) return [];
    return [
      error(
        'config/same-task',
        ['evaluation', 'tasks', index, 'task'],
        `${twice.task} is measured already, by entry ${twice.entry + 1}.`,
        'Name each task once: results are found by its name.',
      ),
    ];
  };
}

function r4Off({ rotation, quantization }: Experiment): RuleFault[] {
  if (rotation.r4 || quantization.activations.bits > 4) return [];
  return [
    warning(
      'config/r4-off',
      ['rotation', 'r4'],
      `off while activations have ${quantization.activations.bits} bits: the input of down_proj keeps its outliers, which costs most of the quality.`,
      'Set rotation.r4 to true, or give activations 8 bits.',
    ),
  ];
}

function r3Off({ rotation, quantization }: Experiment): RuleFault[] {
  if (rotation.r3 || quantization.keys.bits > 4) return [];
  return [
    warning(
      'config/r3-off',
      ['rotation', 'r3'],
      `off while keys have ${quantization.keys.bits} bits: keys keep their outlier channels.`,
      'Set rotation.r3 to true, or give keys 8 bits.',
    ),
  ];
}

function embeddingCentring({ rotation }: Experiment): RuleFault[] {
  if (!rotation.embeddingCentring) return [];
  return [
    warning(
      'config/embedding-centring',
      ['rotation', 'embeddingCentring'],
      'changes the output of the full-precision network (RMSNorm does not remove means).',
      'Use it only to compare with the reference implementation.',
    ),
  ];
}

function nothingQuantized(experiment: Experiment): RuleFault[] {
  const { rotation, quantization } = experiment;
  const { activations, keys, values } = quantization;
  const used = [learningWeightBits(experiment), activations.bits, keys.bits, values.bits];
  if (used.some((bits) => bits < 16) || !hasLearnedRotation(rotation)) return [];
  return [
    warning(
      'config/nothing-quantized',
      ['rotation', 'learning'],
      'nothing is quantized while learning, so every rotation gives the same loss.',
      'Give weights, activations, keys or values fewer than 16 bits.',
    ),
  ];
}

function otherWeightBits({ rotation, quantization }: Experiment): RuleFault[] {
  const { weightBits, objective } = rotation.learning;
  const { weights } = quantization;
  if (weightBits === null || !hasLearnedRotation(rotation)) return [];
  const path = ['rotation', 'learning', 'weightBits'];
  const { compensates } = methodNamed(weights.method);
  if (!compensates && weightBits !== weights.bits) {
    return [
      warning(
        'config/weight-bits',
        path,
        `rotations are learned for ${weightBits}-bit weights, but ${weights.method} then rounds to ${weights.bits} bits.`,
        'Set weightBits to null: the rotation then is learned for the network that is deployed.',
      ),
    ];
  }
  if (!(compensates && roundingOf(quantization)) || weightBits >= 16 || !isThroughNetwork(objective))
    return [];
  return [
    warning(
      'config/weight-bits',
      path,
      `rotations are learned for weights rounded to nearest at ${weightBits} bits, but ${weights.method} then rounds them otherwise: such rotations can be worse than ones that are not learned.`,
      'Set weightBits to null: rotations then are learned with 16-bit weights, as in the paper (table 3).',
    ),
  ];
}

/** A method that rounds to some bits only, as its codebooks are. */
function bitsOfMethod({ quantization }: Experiment): RuleFault[] {
  const { weights } = quantization;
  const { title, bits } = roundingOf(quantization) ?? {};
  if (title === undefined || bits === undefined || bits.includes(weights.bits)) return [];
  const [last, ...others] = bits.toReversed();
  const allowed = `${others.reverse().join(', ')} or ${last}`;
  return [
    error(
      'config/method-bits',
      ['quantization', 'weights', 'bits'],
      `${title} rounds to ${allowed} bits, not to ${weights.bits}.`,
      `Use ${allowed} bits, or another quantization.weights.method.`,
    ),
  ];
}

/** A method that is defined for weights alone, where activations or caches are rounded too. */
function weightsOnly({ quantization }: Experiment): RuleFault[] {
  const method = roundingOf(quantization);
  const parts = ['activations', 'keys', 'values'] as const;
  const rounded = parts.filter((part) => quantization[part].bits < 16);
  const [first] = rounded;
  if (!method?.weightsOnly || first === undefined) return [];
  const found = rounded.map((part) => `${part} have ${quantization[part].bits} bits`).join(', ');
  return [
    error(
      'config/weights-only',
      ['quantization', first, 'bits'],
      `${method.title} is for weights only, but ${found}.`,
      'Set bits of activations, keys and values to 16, or choose another quantization.weights.method.',
    ),
  ];
}

/** Settings of grids, which a method with codebooks of its own does not read. */
function gridOfLattice({ quantization }: Experiment): RuleFault[] {
  const { weights } = quantization;
  const method = roundingOf(quantization);
  if (!method?.bits || (weights.groupSize === null && weights.symmetric)) return [];
  const key = weights.groupSize === null ? 'symmetric' : 'groupSize';
  return [
    warning(
      'config/unused-grid',
      ['quantization', 'weights', key],
      `not read: ${method.title} has one scale for a whole weight.`,
      'Leave it out.',
    ),
  ];
}

function scaledTwice(experiment: Experiment): RuleFault[] {
  const { quantization } = experiment;
  const [scaling, rounding] = [scalingOf(experiment), roundingOf(quantization)];
  if (!scaling || !rounding?.scalesChannels || quantization.activations.bits >= 16) return [];
  return [
    error(
      'config/scaled-twice',
      ['scaling', 'method'],
      `${scaling.title} and ${rounding.title} both scale channels, and only one scale can stand behind a norm.`,
      'Set scaling.method to "none", choose another quantization.weights.method, or give activations 16 bits.',
    ),
  ];
}

function unusedScaleGradient({ rotation }: Experiment): RuleFault[] {
  const { scaleGradient, objective } = rotation.learning;
  if (!scaleGradient || isThroughNetwork(objective)) return [];
  return [
    warning(
      'config/scale-gradient',
      ['rotation', 'learning', 'scaleGradient'],
      `has no effect with the objective "${objective}": its gradient passes no quantizer.`,
      'Leave scaleGradient out, or learn by "cross-entropy".',
    ),
  ];
}

function unusedMassiveWeight({ rotation }: Experiment): RuleFault[] {
  const { massiveWeight, objective } = rotation.learning;
  if (massiveWeight === 1 || !isThroughNetwork(objective) || rotation.start === 'captured') return [];
  return [
    warning(
      'config/massive-weight',
      ['rotation', 'learning', 'massiveWeight'],
      `has no effect: ${objective} from this start reads no captured activations.`,
      'Leave massiveWeight out, learn by "peak", or start "captured".',
    ),
  ];
}

/** A Hadamard transform across heads goes with one matrix for all of them. */
function mixedHeads({ rotation }: Experiment): RuleFault[] {
  if (!rotation.acrossHeads || rotation.r2 === 'none' || rotation.r2Per === 'layer') return [];
  return [
    error(
      'config/mixed-heads',
      ['rotation', 'r2Per'],
      'is "kv-head", but rotation.acrossHeads mixes heads, which needs one R2 for all of a layer.',
      'Set rotation.r2Per to "layer", or rotation.acrossHeads to false.',
    ),
  ];
}

function fewSamples({ rotation, calibration }: Experiment): RuleFault[] {
  const { steps, batchSize } = rotation.learning;
  if (calibration.samples >= batchSize || !hasLearnedRotation(rotation)) return [];
  return [
    warning(
      'config/few-samples',
      ['calibration', 'samples'],
      `${calibration.samples} sequences do not fill one batch of ${batchSize}.`,
      `Ask for at least ${steps * batchSize} (steps × batchSize) to see every sequence once.`,
    ),
  ];
}
