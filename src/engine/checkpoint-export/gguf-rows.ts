import { gridObstacle } from '../../formats/gguf-encode.ts';
import { LINEARS } from '../../protocol/block.ts';
import type { TargetRow } from '../../protocol/export-plan.ts';
import { expectedLayerTensors } from '../model/weights.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import { distinctQuantizers } from '../network/network-quantizers.ts';
import type { ExportQuestion } from './format.ts';
import { forkObstacle } from './gguf-hadamard.ts';
import { typeFor } from './gguf-tensors.ts';
import {
  activationsInWords,
  cacheRows,
  kroneckerRows,
  mergedRow,
  roundsActivations,
  weightsInWords,
} from './rows.ts';
import { mapInWords, type PlacedMap, runTimeMaps } from './run-time-maps.ts';

const keepsCodes = ({ quantizers, settings }: ExportQuestion): boolean =>
  settings.weights === 'rounded' && quantizers.weights.bits < 16 && settings.type !== 'F16';

/** Why the codes of a run have no place in the type; null where they have. */
function obstacle(question: ExportQuestion): string | null {
  const { config, settings, dense } = question;
  if (dense) return 'its blocks have whole numbers times a scale';
  if (settings.type === 'F16') return null;
  for (const quantizers of distinctQuantizers(question))
    for (const linear of LINEARS) {
      const columns = expectedLayerTensors(config).get(linear)?.dims[1] ?? 0;
      const { bits, symmetric, group } = weightQuantizer(linear, quantizers);
      const type = typeFor(settings.type, columns);
      if (type === 'F16') continue;
      const found = gridObstacle(type, bits, symmetric, group || columns);
      if (found !== null) return `${type} has no place for ${linear}: ${found}`;
    }
  return null;
}

const ROUND_ANEW =
  'Choose --weights rotated, which rounds anew and without the codes of the run, or --type F16.';

function weightRow(question: ExportQuestion): TargetRow {
  const { settings, quantizers } = question;
  const { type } = settings;
  const row = { part: 'weights', run: weightsInWords(question) };
  if (settings.weights === 'rotated' || quantizers.weights.bits >= 16) {
    const there =
      type === 'F16' ? 'numbers in F16, not rounded' : `rounded anew to nearest, in blocks of ${type}`;
    return { ...row, verdict: type === 'F16' ? 'kept' : 'changed', there };
  }
  if (type === 'F16') return { ...row, verdict: 'kept', there: "the numbers of the run's grid, in F16" };
  const found = obstacle(question);
  if (found !== null) {
    const hint = `Choose another --type (Q4_1 has zero points, Q8_0 any code of 8 bits). ${ROUND_ANEW}`;
    return { ...row, verdict: 'refused', there: found, hint };
  }
  return { ...row, verdict: 'kept', there: `the run's own codes, as ${type}, with scales in float16` };
}

/** llama.cpp has no place for a transform before down_proj: it loads such weights and writes nonsense. */
function mapRow(placed: PlacedMap, question: ExportQuestion): TargetRow {
  const { linear, symbol } = placed;
  const row = { part: symbol, run: mapInWords(placed) };
  if (question.settings.hadamard === 'prism') return forkRow(placed, question);
  if (keepsCodes(question))
    return {
      ...row,
      verdict: 'refused',
      there: `llama.cpp computes nothing between the layers, and the codes of ${linear}_proj are of rotated channels`,
      hint: `Make a run without it. ${ROUND_ANEW} For forks that compute it: --hadamard prism.`,
    };
  const there = `llama.cpp computes no such transform: folded back into ${linear}_proj`;
  const isAnew = question.settings.type !== 'F16';
  return { ...row, verdict: 'merged', there: isAnew ? `${there}, which is then rounded without it` : there };
}

/** Forks compute it before the layers that the file names. */
function forkRow(placed: PlacedMap, { config }: ExportQuestion): TargetRow {
  const row = { part: placed.symbol, run: mapInWords(placed) };
  const found = forkObstacle(placed, config);
  if (found !== null) return { ...row, verdict: 'refused', ...found };
  const there =
    'at run time in forks that read prism.hadamard.*; llama.cpp itself ignores it and writes nonsense';
  return { ...row, verdict: 'kept', there };
}

function activationRows(question: ExportQuestion): TargetRow[] {
  if (!roundsActivations(question)) return [];
  const there =
    question.settings.type === 'F16'
      ? 'llama.cpp multiplies numbers of 16 bits'
      : 'llama.cpp rounds activations to 8 bits in blocks of 32';
  const verdict = question.settings.type === 'F16' ? 'left out' : 'changed';
  return [{ part: 'activations', run: activationsInWords(question), verdict, there }];
}

/** What llama.cpp does with a run. */
export function ggufRows(question: ExportQuestion): TargetRow[] {
  return [
    mergedRow(question),
    ...kroneckerRows(question),
    weightRow(question),
    ...runTimeMaps(question.maps).map((placed) => mapRow(placed, question)),
    ...activationRows(question),
    ...cacheRows(
      question,
      'llama.cpp rounds them by --cache-type-k and --cache-type-v, with a rotation of its own',
    ),
  ];
}
