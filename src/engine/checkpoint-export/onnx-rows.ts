/** What ONNX Runtime does with a run, with stock operators or with ours. */
import type { Bits } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import type { ExportTarget } from '../../protocol/export-formats.ts';
import type { TargetRow } from '../../protocol/export-plan.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import { blockOf } from '../onnx-export/block-weight.ts';
import { activationsOf, expectExpressible, type TargetQuestion } from '../onnx-export/limits.ts';
import type { ExportQuestion } from './format.ts';
import { nothingElseRounded } from './network-forms.ts';
import {
  activationsInWords,
  cacheRows,
  kroneckerRows,
  mergedRow,
  roundsActivations,
  weightsInWords,
} from './rows.ts';
import { mapInWords, runTimeMaps } from './run-time-maps.ts';

export type OnnxQuestion = ExportQuestion & TargetQuestion;

function weightRow(question: OnnxQuestion): TargetRow {
  const row = { part: 'weights', run: weightsInWords(question) };
  try {
    expectExpressible(question);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...row, verdict: 'refused', there: error.message.replace(/\.$/, ''), hint: error.hint };
  }
  const { bits } = question.quantizers.weights;
  const operator = question.target === 'stock' ? 'MatMulNBits' : 'Int4MatMul';
  const there = bits >= 16 ? 'float16' : `the run's own codes, in ${operator}`;
  return { ...row, verdict: 'kept', there };
}

function activationRows(question: OnnxQuestion): TargetRow[] {
  if (!roundsActivations(question)) return [];
  const row = { part: 'activations', run: activationsInWords(question) };
  if (question.target === 'native') return [{ ...row, verdict: 'kept', there: 'rounded as in the run' }];
  if (stockBits(question.quantizers) >= 16)
    return [{ ...row, verdict: 'left out', there: 'weights of 16 bits have no product with rounded ones' }];
  const there = '8 bits, symmetric, a scale per block: no stock operator multiplies fewer';
  return [{ ...row, verdict: 'changed', there }];
}

const stockBits = ({ weights, input }: LayerQuantizers): number =>
  activationsOf(weights.bits as Bits, input.bits as Bits);

function cache(question: OnnxQuestion): TargetRow[] {
  const rows = cacheRows(question, 'float32; --target native keeps their bits');
  if (question.target === 'stock') return rows;
  return rows.map((row) => ({ ...row, verdict: 'kept', there: 'as in the run' }));
}

/** Rows of the table for a target. */
export function onnxRows(question: OnnxQuestion): TargetRow[] {
  const how =
    question.target === 'stock' ? 'products with the factors of its matrix' : 'our Hadamard operator';
  return [
    mergedRow(question),
    ...kroneckerRows(question, 'at run time, by two products each'),
    weightRow(question),
    ...runTimeMaps(question.maps).map((placed): TargetRow => {
      return { part: placed.symbol, run: mapInWords(placed), verdict: 'kept', there: `at run time, ${how}` };
    }),
    ...activationRows(question),
    ...cache(question),
  ];
}

/** What a target rounds while it computes; ours rounds as the run does. */
export function computedInOnnx(
  target: ExportTarget,
  { hiddenSize, heads, headDim, intermediateSize }: ModelConfig,
): (run: LayerQuantizers) => LayerQuantizers {
  if (target === 'native') return (run) => run;
  return (run) => {
    const bits = stockBits(run);
    const blocks = (width: number): ActivationQuantizer => {
      const block = blockOf(width, run.weights.group || width);
      // A width that is no whole blocks is filled with zeros; it is taken as one block here.
      const group = width % block === 0 ? block : 0;
      return { bits, symmetric: true, group, clipRatio: 1, includeZero: true };
    };
    return {
      ...nothingElseRounded(run),
      input: blocks(hiddenSize),
      outputInput: blocks(heads * headDim),
      downInput: blocks(intermediateSize),
    };
  };
}
