import { type Experiment, trainingOf } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { sequencesAtOnce, writingBytes } from '../generate/writing-memory.ts';
import type { ModelConfig } from '../model/config.ts';
import {
  expectedBytes,
  leastBytes,
  type NetworkMemory,
  planMemory,
  preparedBytes,
} from '../network/memory-plan.ts';
import { type TextSize, tokensOf } from '../network/work.ts';
import { parameterCount } from '../training/weight-set.ts';
import { machineBytes } from './machine-bytes.ts';

const GB = 1e9;
/** A trained number has its derivative and two moments beside it, all in float32. */
const BYTES_PER_PARAMETER = 4 * Float32Array.BYTES_PER_ELEMENT;

/**
 * Fits the training of all weights into the memory that there is, and the writing of its text before it.
 * @param machine bytes of the machine.
 * @throws UserError `training/memory` with what it needs.
 */
export function trainingMemory(
  experiment: Experiment,
  config: ModelConfig,
  machine = machineBytes(),
): NetworkMemory {
  const { calibration, memoryLimit } = experiment;
  const demand = { sequence: calibration.sequenceLength, learns: true, prepared: preparedBytes(config) };
  const states = parameterCount(config) * BYTES_PER_PARAMETER;
  const passes = leastBytes(config, demand);
  const there = memoryLimit === null ? machine : memoryLimit * GB;
  const writing = writingBytes(config, demand.sequence);
  if (writing.all > there && writing.all > states + passes)
    throw tooLittleToWrite(experiment, config, writing, there);
  if (states + passes <= there)
    return planMemory(config, demand, memoryLimit === null ? null : there - states);
  const title = trainingOf(experiment)?.title ?? 'Training';
  throw new UserError(
    'training/memory',
    `${title} needs ${inGB(states + passes)} GB of memory for this model: ${inGB(states)} GB for its ${billions(config)} weights with derivative and two moments in float32, ${inGB(passes)} GB for one sequence of ${demand.sequence} tokens. ${memoryLimit === null ? 'This machine has' : 'memoryLimit is'} ${inGB(there)} GB.`,
    `Use a machine with more memory${memoryLimit === null ? '' : ', raise memoryLimit'}, a smaller model, or set training.method to "none".`,
  );
}

function tooLittleToWrite(
  { calibration, memoryLimit, ...experiment }: Experiment,
  config: ModelConfig,
  { cache, all }: ReturnType<typeof writingBytes>,
  there: number,
): UserError {
  const { sequenceLength } = calibration;
  const sequences = sequencesAtOnce(config, sequenceLength);
  const title = trainingOf(experiment)?.title ?? 'Training';
  return new UserError(
    'training/memory',
    `${title} needs ${inGB(all)} GB of memory while the full-precision network writes its text: ${inGB(cache)} GB for keys and values of ${sequences} sequences of ${sequenceLength} tokens. ${memoryLimit === null ? 'This machine has' : 'memoryLimit is'} ${inGB(there)} GB.`,
    `Set calibration.sequenceLength to less${memoryLimit === null ? ', or use a machine with more memory' : ', or raise memoryLimit'}.`,
  );
}

/** Bytes that passes through the trained network are expected to take at once, the process included. */
export function trainingBytes(experiment: Experiment, config: ModelConfig, text: TextSize): number {
  const demand = { sequence: text.length, learns: true, prepared: preparedBytes(config) };
  return expectedBytes(config, demand, trainingMemory(experiment, config), tokensOf(text));
}

function billions(config: ModelConfig): string {
  const count = parameterCount(config);
  return count >= 1e9 ? `${(count / 1e9).toFixed(2)} billion` : `${(count / 1e6).toFixed(1)} million`;
}

const inGB = (bytes: number): string => (bytes / GB).toFixed(bytes < GB ? 3 : 1);
