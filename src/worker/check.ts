import { type Experiment, parseExperiment, resolvePortable } from '../config/index.ts';
import { quantizersOf } from '../engine/experiment/quantizers.ts';
import { openCheckpoint } from '../engine/model/checkpoint.ts';
import type { ModelConfig } from '../engine/model/config.ts';
import { type HadamardPlan, planHadamard } from '../engine/rotation/hadamard-plan.ts';
import { UserError } from '../protocol/errors.ts';
import type { CheckParams, CheckResult, ModelFault } from '../protocol/worker.ts';

/** What is wrong with an experiment that only its model shows. Reads headers, never weights. */
export async function checkAgainstModel({ text, file }: CheckParams): Promise<CheckResult> {
  const { experiment } = parseExperiment(text, file);
  if (experiment === null) return { faults: [], model: null };
  const resolved = resolvePortable(experiment, file);
  try {
    const { config } = await openCheckpoint(resolved.model);
    const faults = [...hadamardFaults(experiment, config), ...lengthFaults(experiment, config)];
    const { architecture, layers, hiddenSize, headDim, intermediateSize } = config;
    return {
      faults: [...faults, ...groupFaults(() => quantizersOf(resolved, config))],
      model: { architecture, layers, hiddenSize, headDim, intermediateSize },
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { faults: [{ ...described(error), path: ['model'] }], model: null };
  }
}

function described(error: UserError): Omit<ModelFault, 'path'> {
  return { severity: 'error', code: error.code, message: error.message, hint: error.hint };
}

/** Widths that no Hadamard matrix serves as a whole, for the rotations that need one. */
function hadamardFaults({ rotation, quantization }: Experiment, config: ModelConfig): ModelFault[] {
  const { r1, r2, r3, r4, start } = rotation;
  const starts = (kind: typeof r1) => kind === 'hadamard' || (kind === 'learned' && start === 'hadamard');
  const uses: [boolean, 'r1' | 'r2' | 'r3' | 'r4', number][] = [
    [starts(r1), 'r1', config.hiddenSize],
    [starts(r2), 'r2', config.headDim],
    [r3 && quantization.keys.bits < 16, 'r3', config.headDim],
    [r4, 'r4', config.intermediateSize],
  ];
  return uses
    .filter(([used]) => used)
    .map(([, name, width]) => blockFault(name, rotation[name], planHadamard(width)))
    .filter((fault) => fault !== null);
}

function blockFault(
  name: 'r1' | 'r2' | 'r3' | 'r4',
  kind: boolean | string,
  plan: HadamardPlan,
): ModelFault | null {
  if (plan.kind !== 'block-diagonal') return null;
  const free = typeof kind === 'string';
  const place = kind === 'learned' ? 'start' : name;
  return {
    severity: 'warning',
    code: 'rotation/block-hadamard',
    path: ['rotation', name],
    message: `rotation.${name}: ${plan.statement}.`,
    hint: free
      ? 'A "random" rotation (or start) mixes all channels; a learned one leaves its blocks while it learns.'
      : 'Outliers spread only inside a block; nothing else needs to change.',
    ...(free && { suggestion: { path: ['rotation', place], value: 'random' } }),
  };
}

function lengthFaults({ calibration, evaluation }: Experiment, config: ModelConfig): ModelFault[] {
  const lengths: [(string | number)[], number][] = [
    [['calibration', 'sequenceLength'], calibration.sequenceLength],
    ...evaluation.perplexity.map((task, index): [(string | number)[], number] => [
      ['evaluation', 'perplexity', index, 'sequenceLength'],
      task.sequenceLength,
    ]),
  ];
  return lengths
    .filter(([, length]) => length > config.maxPositions)
    .map(([path, length]) => ({
      severity: 'warning',
      code: 'model/positions',
      path,
      message: `${length} tokens are more than the ${config.maxPositions} positions that this model was made for.`,
      hint: `Use ${config.maxPositions} or fewer: beyond, perplexity says little about quantization.`,
      suggestion: { path, value: config.maxPositions },
    }));
}

function groupFaults(build: () => unknown): ModelFault[] {
  try {
    build();
    return [];
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // The message begins with the key at fault: `quantization.weights.groupSize is …`.
    const path = error.message.split(' ', 1)[0]!.split('.');
    return [{ ...described(error), path, suggestion: { path, value: null } }];
  }
}
