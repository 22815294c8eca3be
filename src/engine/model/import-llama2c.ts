import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readingNow } from '../../disk/faults.ts';
import { expectKind } from '../../disk/file-kind.ts';
import type { Llama2cCheckpoint, Llama2cHeader } from '../../formats/llama2c.ts';
import { readLlama2c, readLlama2cTensor } from '../../formats/llama2c.ts';
import { parseLlama2cTokenizer } from '../../formats/llama2c-tokenizer.ts';
import { writeModelWeights } from '../../formats/safetensors-shards.ts';
import type { LazyTensor } from '../../formats/safetensors-write.ts';
import { elementCount } from '../../protocol/tensor.ts';
import { BOS_ID, buildTokenizerJson, EOS_ID } from './llama2c-tokenizer-json.ts';
import { newModelFolder, writeJson, writeModelFolder } from './model-folder.ts';
import type { ImportProgress } from './reported-tensors.ts';
import { reported } from './reported-tensors.ts';
import { pairByHalves } from './rotary-rows.ts';
import type { LayerRole } from './weights.ts';
import { EMBEDDING_NAME, FINAL_NORM_NAME, LM_HEAD_NAME, layerTensorName } from './weights.ts';

export interface ImportLlama2cOptions extends ImportProgress {
  /** The llama2.c `.bin` checkpoint is float32 (legacy or version 1) or int8 (version 2). */
  readonly checkpoint: string;
  /** Its `tokenizer.bin`. */
  readonly tokenizer: string;
  /** The folder to make may exist if it is empty. */
  readonly out: string;
  /** No weight file is longer than this many bytes; for tests. */
  readonly shardBytes?: number | undefined;
}

export interface ImportSummary {
  /** Absolute path of the new folder. */
  readonly dir: string;
  readonly parameters: number;
  readonly header: Llama2cHeader;
}

/**
 * Converts a llama2.c model to a Hugging Face folder: config.json, safetensors (float32), tokenizer.json,
 * tokenizer_config.json. One tensor is in memory at a time; the folder appears whole or not at all.
 * @throws UserError `llama2c/…`, `import/…`; Cancelled.
 */
export async function importLlama2c(options: ImportLlama2cOptions): Promise<ImportSummary> {
  const out = newModelFolder(options.out);
  const checkpoint = readLlama2c(options.checkpoint);
  const { header } = checkpoint;
  const pieces = parseLlama2cTokenizer(options.tokenizer, readInput(options.tokenizer), header.vocabSize);
  const tokenizerJson = buildTokenizerJson(options.tokenizer, pieces);
  const tensors = convertTensors(checkpoint);
  await writeModelFolder(out, async (folder) => {
    await writeModelWeights(folder, reported(tensors, options), options.shardBytes);
    await writeJson(join(folder, 'config.json'), buildConfig(header));
    await writeJson(join(folder, 'tokenizer.json'), tokenizerJson);
    await writeJson(join(folder, 'tokenizer_config.json'), buildTokenizerConfig(header));
  });
  const parameters = Object.values(tensors).reduce((sum, { dims }) => sum + elementCount(dims), 0);
  return { dir: out, parameters, header };
}

function readInput(path: string): Uint8Array {
  expectKind(path, 'binary');
  return readingNow(path, () => readFileSync(path), { code: 'import/unreadable' });
}

const LAYER_SOURCES: readonly (readonly [source: string, role: LayerRole])[] = [
  ['attention_norm', 'inputNorm'],
  ['wq', 'q'],
  ['wk', 'k'],
  ['wv', 'v'],
  ['wo', 'o'],
  ['ffn_norm', 'postNorm'],
  ['w1', 'gate'],
  ['w2', 'down'],
  ['w3', 'up'],
];

function convertTensors({ header, tensors }: Llama2cCheckpoint): Record<string, LazyTensor> {
  const headDim = header.dim / header.heads;
  const out: Record<string, LazyTensor> = {};
  const put = (name: string, source: string, pairHeads = false): void => {
    const tensor = tensors.get(source);
    if (!tensor) throw new RangeError(`llama2.c checkpoint without ${source}`);
    const load = () => {
      const values = readLlama2cTensor(tensor);
      // llama2.c rotates neighbouring rows as a pair.
      return pairHeads ? pairByHalves(values, headDim) : values;
    };
    out[name] = { kind: 'lazy', dtype: 'float32', dims: tensor.dims, load };
  };
  put(EMBEDDING_NAME, 'tok_embeddings');
  put(FINAL_NORM_NAME, 'norm');
  if (!header.sharedClassifier) put(LM_HEAD_NAME, 'output');
  for (let layer = 0; layer < header.layers; layer++) {
    for (const [source, role] of LAYER_SOURCES) {
      put(layerTensorName(layer, role), `layers.${layer}.${source}`, role === 'q' || role === 'k');
    }
  }
  return out;
}

function buildConfig(header: Llama2cHeader): object {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: header.dim,
    intermediate_size: header.hiddenDim,
    num_hidden_layers: header.layers,
    num_attention_heads: header.heads,
    num_key_value_heads: header.kvHeads,
    head_dim: header.dim / header.heads,
    vocab_size: header.vocabSize,
    max_position_embeddings: header.seqLen,
    hidden_act: 'silu',
    // llama2.c fixes these two constants.
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: header.sharedClassifier,
    bos_token_id: BOS_ID,
    eos_token_id: EOS_ID,
    torch_dtype: 'float32',
  };
}

function buildTokenizerConfig(header: Llama2cHeader): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: '<s>',
    eos_token: '</s>',
    model_max_length: header.seqLen,
    clean_up_tokenization_spaces: false,
  };
}
