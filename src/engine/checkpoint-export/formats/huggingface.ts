import { readdirSync } from 'node:fs';
import { writeModelWeights } from '../../../formats/safetensors-shards.ts';
import { LINEARS } from '../../../protocol/block.ts';
import type { TargetRow } from '../../../protocol/export-plan.ts';
import type { CheckpointFormat, ExportQuestion } from '../format.ts';
import { linearTensor, tensorsAround } from '../merged-tensors.ts';
import { MergedWeights } from '../merged-weights.ts';
import { writeModelFiles } from '../model-files.ts';
import { networkOfFolder, nothingElseRounded } from '../network-forms.ts';
import {
  activationsInWords,
  cacheRows,
  kroneckerRows,
  mergedRow,
  roundsActivations,
  weightsInWords,
} from '../rows.ts';
import { mapInWords, runTimeMaps } from '../run-time-maps.ts';

function weightRow(question: ExportQuestion): TargetRow {
  const { quantizers, settings } = question;
  const row = { part: 'weights', run: weightsInWords(question) };
  if (quantizers.weights.bits >= 16 || settings.weights === 'rotated')
    return {
      ...row,
      verdict: quantizers.weights.bits >= 16 ? 'kept' : 'left out',
      there: `numbers in ${settings.dtype}, not rounded`,
    };
  return { ...row, verdict: 'kept', there: `the numbers of the run's grid, in ${settings.dtype}` };
}

/** Maps at run time cancel against the same map of the weight behind them. */
function mapRows({ maps, settings, quantizers }: ExportQuestion): TargetRow[] {
  const isRounded = settings.weights === 'rounded' && quantizers.weights.bits < 16;
  return runTimeMaps(maps).map((placed) => ({
    part: placed.symbol,
    run: mapInWords(placed),
    verdict: 'merged',
    there: isRounded
      ? `folded back into ${placed.linear}_proj, whose numbers leave their grid: do not round them, or activations, again`
      : `folded back into ${placed.linear}_proj`,
  }));
}

function activationRows(question: ExportQuestion): TargetRow[] {
  if (!roundsActivations(question)) return [];
  const there = 'transformers multiplies in the type of the weights';
  return [{ part: 'activations', run: activationsInWords(question), verdict: 'left out', there }];
}

export const format: CheckpointFormat = {
  rows: (question) => [
    mergedRow(question),
    ...kroneckerRows(question),
    weightRow(question),
    ...mapRows(question),
    ...activationRows(question),
    ...cacheRows(question, 'transformers keeps them in the type of the model'),
  ],

  computed: nothingElseRounded,

  async write(folder, { cache, network, settings }, signal) {
    const { dtype } = settings;
    const weights = new MergedWeights(cache, network, settings.weights);
    const writing = { weights, dtype, signal };
    const { config, dir } = network.checkpoint;
    const linears = Array.from({ length: config.layers }, (_, layer) =>
      LINEARS.map((linear) => linearTensor(writing, layer, linear, false)),
    );
    await writeModelWeights(folder, Object.assign(tensorsAround(writing), ...linears.flat()));
    const shards = readdirSync(folder);
    return [...(await writeModelFiles(folder, dir, dtype)), ...shards];
  },

  readBack: (folder, { cache }) => networkOfFolder(cache, folder),

  usage: ({ settings: { dtype } }) => [
    '```python',
    'from transformers import AutoModelForCausalLM, AutoTokenizer',
    '',
    `model = AutoModelForCausalLM.from_pretrained("FOLDER", dtype="${dtype}")`,
    'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
    '```',
  ],
};
