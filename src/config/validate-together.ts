/** Rules that tie several keys of an experiment together. */
import { hasLearnedRotation, learningWeightBits } from './derived.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import type { Experiment } from './schema.ts';

/** What an experiment is read for: shown while it is edited, or run by one of the commands. */
export type Purpose = 'edit' | 'optimize' | 'evaluate' | 'inspect';

function error(code: string, path: JsonPath, message: string, hint: string): RuleFault {
  return { severity: 'error', code, path, message: `${formatPath(path)}: ${message}`, hint };
}

function warning(code: string, path: JsonPath, message: string, hint: string): RuleFault {
  return { severity: 'warning', code, path, message: `${formatPath(path)}: ${message}`, hint };
}

/**
 * Faults between keys, each of which is valid alone. An `error` stops the run, a `warning` is a setting that works
 * but rarely is what a person wants.
 */
export function validateTogether(experiment: Experiment, purpose: Purpose = 'edit'): RuleFault[] {
  return [
    ...availabilityFaults(experiment, purpose),
    ...learningFaults(experiment, purpose),
    ...evaluationFaults(experiment, purpose),
    ...rotationWarnings(experiment),
    ...learningWarnings(experiment),
  ];
}

/** Settings that the schema knows and this version cannot run yet: a warning while editing, an error when run. */
function availabilityFaults(experiment: Experiment, purpose: Purpose): RuleFault[] {
  const report = purpose === 'edit' ? warning : error;
  const faults: RuleFault[] = [];
  if (experiment.quantization.weights.method === 'gptq' && experiment.quantization.weights.bits < 16)
    faults.push(
      report(
        'config/not-available',
        ['quantization', 'weights', 'method'],
        'GPTQ is not available in this version.',
        'Use "rtn" (round to nearest).',
      ),
    );
  const { objective, optimizer } = experiment.rotation.learning;
  if ((objective === 'cross-entropy') !== (optimizer === 'cayley-sgd'))
    faults.push(
      report(
        'config/not-available',
        ['rotation', 'learning', 'optimizer'],
        `"${optimizer}" with the objective "${objective}" is not available in this version.`,
        'Leave optimizer out: it follows the objective.',
      ),
    );
  if (experiment.device === 'webgpu' || experiment.device === 'cuda')
    faults.push(
      report(
        'config/not-available',
        ['device'],
        `running on ${experiment.device} is not available in this version.`,
        'Use "auto" or "cpu".',
      ),
    );
  return faults;
}

function learningFaults(experiment: Experiment, purpose: Purpose): RuleFault[] {
  const { rotation, calibration } = experiment;
  const faults: RuleFault[] = [];
  const learned = hasLearnedRotation(rotation);
  if (purpose === 'optimize' && !learned)
    faults.push(
      error(
        'config/nothing-learned',
        ['rotation'],
        `r1 is "${rotation.r1}" and r2 is "${rotation.r2}", so there is nothing to learn.`,
        'Set rotation.r1 or rotation.r2 to "learned", or evaluate this experiment instead.',
      ),
    );
  if ((purpose === 'edit' || purpose === 'optimize') && learned && calibration.text.length === 0)
    faults.push(
      error(
        'config/no-calibration-text',
        ['calibration', 'text'],
        'a learned rotation needs a text to learn on.',
        'Name a text file in calibration.text, or set r1 and r2 to "hadamard".',
      ),
    );
  const { microBatch, batchSize } = rotation.learning;
  if (microBatch !== null && microBatch > batchSize)
    faults.push(
      error(
        'config/micro-batch',
        ['rotation', 'learning', 'microBatch'],
        `${microBatch} sequences at once are more than the batch of ${batchSize}.`,
        `Use 1 to ${batchSize}, or null.`,
      ),
    );
  return faults;
}

function evaluationFaults(experiment: Experiment, purpose: Purpose): RuleFault[] {
  const tasks = experiment.evaluation.perplexity;
  const faults: RuleFault[] = [];
  if (purpose === 'evaluate' && tasks.length === 0)
    faults.push(
      error(
        'config/no-evaluation',
        ['evaluation', 'perplexity'],
        'there is nothing to evaluate.',
        'Add { "name": "wikitext2", "text": "path/to/test.txt" } to evaluation.perplexity.',
      ),
    );
  for (const [index, task] of tasks.entries())
    if (tasks.findIndex((other) => other.name === task.name) < index)
      faults.push(
        error(
          'config/same-name',
          ['evaluation', 'perplexity', index, 'name'],
          `"${task.name}" names two measurements.`,
          'Give each its own name: results are found by it.',
        ),
      );
  return faults;
}

function rotationWarnings(experiment: Experiment): RuleFault[] {
  const { rotation, quantization } = experiment;
  const faults: RuleFault[] = [];
  if (!rotation.r4 && quantization.activations.bits <= 4)
    faults.push(
      warning(
        'config/r4-off',
        ['rotation', 'r4'],
        `off while activations have ${quantization.activations.bits} bits: the input of down_proj keeps its outliers, which costs most of the quality.`,
        'Set rotation.r4 to true, or give activations 8 bits.',
      ),
    );
  if (!rotation.r3 && quantization.keys.bits <= 4)
    faults.push(
      warning(
        'config/r3-off',
        ['rotation', 'r3'],
        `off while keys have ${quantization.keys.bits} bits: keys keep their outlier channels.`,
        'Set rotation.r3 to true, or give keys 8 bits.',
      ),
    );
  if (rotation.embeddingCentring)
    faults.push(
      warning(
        'config/embedding-centring',
        ['rotation', 'embeddingCentring'],
        'changes the output of the full-precision network (RMSNorm does not remove means).',
        'Use it only to compare with the reference implementation.',
      ),
    );
  return faults;
}

function learningWarnings(experiment: Experiment): RuleFault[] {
  const { rotation, quantization, calibration } = experiment;
  if (!hasLearnedRotation(rotation)) return [];
  const { steps, batchSize, weightBits } = rotation.learning;
  const faults: RuleFault[] = [];
  const { weights, activations, keys, values } = quantization;
  if ([learningWeightBits(experiment), activations.bits, keys.bits, values.bits].every((bits) => bits === 16))
    faults.push(
      warning(
        'config/nothing-quantized',
        ['rotation', 'learning'],
        'nothing is quantized while learning, so every rotation gives the same loss.',
        'Give weights, activations, keys or values fewer than 16 bits.',
      ),
    );
  if (weightBits !== null && weights.method === 'rtn' && weightBits !== weights.bits)
    faults.push(
      warning(
        'config/weight-bits',
        ['rotation', 'learning', 'weightBits'],
        `rotations are learned for ${weightBits}-bit weights, but rtn then rounds to ${weights.bits} bits.`,
        'Set weightBits to null: the rotation then is learned for the network that is deployed.',
      ),
    );
  if (calibration.samples < batchSize)
    faults.push(
      warning(
        'config/few-samples',
        ['calibration', 'samples'],
        `${calibration.samples} sequences do not fill one batch of ${batchSize}.`,
        `Ask for at least ${steps * batchSize} (steps × batchSize) to see every sequence once.`,
      ),
    );
  return faults;
}
