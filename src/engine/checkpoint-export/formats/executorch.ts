import { join } from 'node:path';
import { writeTorchTensors } from '../../../formats/torch-zip-write.ts';
import type { ModelConfig } from '../../model/config.ts';
import { writeJson } from '../../model/model-folder.ts';
import { CONSOLIDATED_FILE, PARAMETERS_FILE } from '../consolidated-names.ts';
import { networkOfConsolidated } from '../consolidated-reader.ts';
import { consolidatedTensors } from '../consolidated-tensors.ts';
import { executorchRows } from '../executorch-rows.ts';
import type { CheckpointFormat } from '../format.ts';
import { MergedWeights } from '../merged-weights.ts';
import { copyTextFiles } from '../model-files.ts';
import { nothingElseRounded } from '../network-forms.ts';
import { runTimeMaps } from '../run-time-maps.ts';

/** The runtime's own rounding of activations: a scale and a zero point per token. */
const BYTES_OF_TOKENS = { bits: 8, symmetric: false, group: 0, clipRatio: 1, includeZero: true } as const;

/** Sizes of a model, in the names of Meta's `params.json` and of ExecuTorch's arguments. */
function parameters(config: ModelConfig, group: number): object {
  return {
    dim: config.hiddenSize,
    hidden_dim: config.intermediateSize,
    n_layers: config.layers,
    n_heads: config.heads,
    n_kv_heads: config.kvHeads,
    head_dim: config.headDim,
    vocab_size: config.vocabSize,
    norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    use_scaled_rope: config.ropeScaling?.type === 'llama3',
    // ExecuTorch loads no codes without.
    quantization_args: { group_size: group },
  };
}

export const format: CheckpointFormat = {
  rows: executorchRows,

  computed: (run) => ({
    ...nothingElseRounded(run),
    ...{ input: BYTES_OF_TOKENS, outputInput: BYTES_OF_TOKENS, downInput: BYTES_OF_TOKENS },
  }),

  async write(folder, { cache, network }, signal) {
    const weights = new MergedWeights(cache, network, 'rounded');
    await writeTorchTensors(join(folder, CONSOLIDATED_FILE), consolidatedTensors({ weights, signal }));
    const { config, dir } = network.checkpoint;
    const { group } = network.quantizers(0).weights;
    await writeJson(join(folder, PARAMETERS_FILE), parameters(config, group));
    return [CONSOLIDATED_FILE, PARAMETERS_FILE, ...(await copyTextFiles(folder, dir))];
  },

  readBack: (folder, { cache, network }, scratch) => networkOfConsolidated(cache, folder, network, scratch),

  usage: ({ maps, quantizers }) => [
    "With ExecuTorch's own exporter:",
    '',
    '```sh',
    'python -m executorch.examples.models.llama.export_llama --model llama3_2 -d fp32',
    '  -kv --use_sdpa_with_kv_cache -X --xnnpack-extended-ops -n model.pte',
    `  --checkpoint FOLDER/${CONSOLIDATED_FILE} --params FOLDER/${PARAMETERS_FILE}`,
    `  --preq_mode 8da4w_output_8da8w --preq_group_size ${quantizers.weights.group} --preq_embedding_quantize 8,0`,
    runTimeMaps(maps).length > 0 ? '  --use_spin_quant native' : '  --use_qat',
    '```',
  ],
};
