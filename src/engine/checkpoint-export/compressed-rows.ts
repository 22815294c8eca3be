import { LINEARS } from '../../protocol/block.ts';
import type { TargetRow } from '../../protocol/export-plan.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import { distinctQuantizers } from '../network/network-quantizers.ts';
import { readBy } from '../network/packed-weights.ts';
import type { ExportQuestion } from './format.ts';
import {
  ACTIVATION_READERS,
  activationsInWords,
  cacheRows,
  clipsActivations,
  kroneckerRows,
  mergedRow,
  weightsInWords,
} from './rows.ts';
import { mapInWords, type PlacedMap, runTimeMaps, widthOf } from './run-time-maps.ts';

/** Bits of activations that vLLM multiplies in whole numbers. */
const INTEGER_BITS: readonly number[] = [4, 8];
const MOST_BITS = 8;

function weightRow(question: ExportQuestion): TargetRow {
  const row = { part: 'weights', run: weightsInWords(question) };
  const elsewhere = 'Choose --format huggingface, whose weights are numbers.';
  const bits = distinctQuantizers(question).flatMap((each) =>
    LINEARS.map((linear) => weightQuantizer(linear, each).bits),
  );
  if (question.dense)
    return { ...row, verdict: 'refused', there: 'it has whole numbers times a scale', hint: elsewhere };
  if (bits.every((each) => each > MOST_BITS))
    return { ...row, verdict: 'refused', there: 'it has codes of 8 bits at most', hint: elsewhere };
  return {
    ...row,
    verdict: 'kept',
    there: `the run's own codes, packed, with scales in ${question.settings.dtype}`,
  };
}

/** Where activations differ from those of the run, which most readers take all the same. */
function activationRows(question: ExportQuestion): TargetRow[] {
  const inputs = distinctQuantizers(question)
    .flatMap((each) => ACTIVATION_READERS.map((linear) => readBy(linear, each)))
    .filter(({ bits }) => bits < 16);
  if (inputs.length === 0) return [];
  const changes = [
    ...(inputs.some(({ symmetric, fullRange }) => symmetric && !fullRange)
      ? ['steps are those of the full range, max|x| / (2^(b−1) − ½) (activations.fullRange)']
      : []),
    ...(inputs.some(({ symmetric }) => !symmetric)
      ? ['vLLM has integer matmuls for symmetric ones alone (activations.symmetric)']
      : []),
    ...(inputs.some(({ group, symmetric }) => group > 0 && !symmetric) ? ['ranges of groups hold 0'] : []),
    ...(clipsActivations(question) ? ['ranges are not clipped'] : []),
    ...(inputs.some(({ bits }) => !INTEGER_BITS.includes(bits)) ? ['vLLM takes 4 and 8 bits'] : []),
  ];
  const there = ['rounded at run time', ...changes].join('; ');
  const verdict = changes.length === 0 ? 'kept' : 'changed';
  return [{ part: 'activations', run: activationsInWords(question), verdict, there }];
}

function mapRow(placed: PlacedMap, { config }: ExportQuestion): TargetRow {
  const how =
    placed.map.kind === 'hadamard' && placed.map.transform.order === 1
      ? 'by a kernel in vLLM'
      : `as a product with a matrix of ${widthOf(placed.map, config)}²`;
  const there = `at run time, in transform_config, ${how}; transformers needs apply_transform_config`;
  return { part: placed.symbol, run: mapInWords(placed), verdict: 'kept', there };
}

/** What compressed-tensors, read by vLLM or transformers, does with a run. */
export function packedRows(question: ExportQuestion): TargetRow[] {
  return [
    mergedRow(question),
    ...kroneckerRows(question),
    weightRow(question),
    ...activationRows(question),
    ...runTimeMaps(question.maps).map((placed) => mapRow(placed, question)),
    ...cacheRows(
      question,
      'vLLM rounds them by --kv-cache-dtype int4_per_token_head, with a rotation of its own',
    ),
  ];
}
