import type { TargetRow } from '../../protocol/export-plan.ts';
import { readBy } from '../network/packed-weights.ts';
import type { ExportQuestion } from './format.ts';
import { isSylvester } from './quantization-config.ts';
import {
  ACTIVATION_READERS,
  activationsInWords,
  cacheRows,
  clipsActivations,
  kroneckerRows,
  mergedRow,
  roundsActivations,
  weightsInWords,
} from './rows.ts';
import { mapInWords, type PlacedMap, runTimeMaps } from './run-time-maps.ts';

/** Groups that the runtime's products with 4-bit weights have. */
const GROUPS: readonly number[] = [32, 64, 128, 256];
const BITS = 4;
const ELSEWHERE = 'Choose --format huggingface, whose weights are numbers.';

function weightRow(question: ExportQuestion): TargetRow {
  const { quantizers, exceptions, dense } = question;
  const { bits, symmetric, group } = quantizers.weights;
  const row = { part: 'weights', run: weightsInWords(question) };
  const refuse = (there: string, hint: string): TargetRow => ({ ...row, verdict: 'refused', there, hint });
  if (dense) return refuse('it has whole numbers times a scale', ELSEWHERE);
  if (bits !== BITS)
    return refuse('it has codes of 4 bits', `Set quantization.weights.bits to 4. ${ELSEWHERE}`);
  if (!symmetric)
    return refuse('it has no zero points', `Set quantization.weights.symmetric to true. ${ELSEWHERE}`);
  if (!GROUPS.includes(group))
    return refuse(
      `its products have groups of ${GROUPS.join(', ')}`,
      `Set quantization.weights.groupSize to one of them. ${ELSEWHERE}`,
    );
  if (exceptions && [...exceptions.values()].some(hasOtherWeights))
    return refuse('all layers have the same bits', `Leave out exceptions of weights. ${ELSEWHERE}`);
  return { ...row, verdict: 'kept', there: "the run's own codes, a byte each, with scales in float32" };
}

const hasOtherWeights = ({ otherWeights = {} }: ExportQuestion['quantizers']): boolean =>
  Object.keys(otherWeights).length > 0;

/** Biases and norms of heads have no names in a consolidated file. */
function modelRows({ config }: ExportQuestion): TargetRow[] {
  const has = [
    ...(config.attentionBias || config.outputBias || config.mlpBias ? ['biases'] : []),
    ...(config.qkNorm ? ['norms of queries and keys'] : []),
    ...(config.layerWindows.every((window) => window === null) ? [] : ['sliding windows']),
    ...(config.ropeScaling && config.ropeScaling.type !== 'llama3'
      ? [`rotary scaling "${config.ropeScaling.type}"`]
      : []),
  ];
  if (has.length === 0) return [];
  const there = 'its checkpoints are of Llama models, without';
  return [
    {
      part: 'architecture',
      run: `the model has ${has.join(', ')}`,
      verdict: 'refused',
      there,
      hint: ELSEWHERE,
    },
  ];
}

function mapRow(placed: PlacedMap, { config }: ExportQuestion): TargetRow {
  const { linear, map, symbol } = placed;
  const row = { part: symbol, run: mapInWords(placed) };
  const isWhole = isSylvester(placed) && map.transform.block === config.intermediateSize;
  if (linear === 'down' && isWhole)
    return { ...row, verdict: 'kept', there: 'at run time (--use_spin_quant native)' };
  const there =
    linear === 'down'
      ? "it turns all channels at once by a Hadamard matrix of its own, which is the run's for powers of two alone"
      : `it computes no transform before ${linear}_proj`;
  const hint = `Make a run without it. ${ELSEWHERE}`;
  return { ...row, verdict: 'refused', there, hint };
}

const RUNTIME_BITS = 8;

function activationRow(question: ExportQuestion): TargetRow {
  const there = '8 bits, a scale and a zero point per token, also before o_proj';
  const hasGrid = ACTIVATION_READERS.every((linear) => {
    const { bits, symmetric, group } = readBy(linear, question.quantizers);
    return bits === RUNTIME_BITS && !symmetric && group === 0;
  });
  const isSame = hasGrid && !clipsActivations(question);
  const run = roundsActivations(question) ? activationsInWords(question) : '16 bits';
  return { part: 'activations', run, verdict: isSame ? 'kept' : 'changed', there };
}

/** What ExecuTorch does with a run. */
export function executorchRows(question: ExportQuestion): TargetRow[] {
  return [
    mergedRow(question),
    ...kroneckerRows(question),
    ...modelRows(question),
    weightRow(question),
    {
      part: 'embeddings and output layer',
      run: 'embeddings and output layer at 16 bits',
      verdict: 'changed',
      there: 'rounded to 8 bits, a scale per row',
    },
    ...runTimeMaps(question.maps).map((placed) => mapRow(placed, question)),
    activationRow(question),
    ...cacheRows(question, 'keys are not turned behind RoPE there: 4 bits would cost much'),
  ];
}
