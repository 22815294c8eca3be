import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Llama2cCheckpoint, Llama2cHeader, Llama2cTensor } from '../../formats/llama2c.ts';
import { parseLlama2c } from '../../formats/llama2c.ts';
import { parseLlama2cTokenizer } from '../../formats/llama2c-tokenizer.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { messageOf, UserError } from '../../protocol/errors.ts';
import type { HostTensor } from '../../protocol/tensor.ts';
import { float32 } from '../../protocol/tensor.ts';
import { BOS_ID, buildTokenizerJson, EOS_ID } from './llama2c-tokenizer-json.ts';
import type { LayerRole } from './weights.ts';
import { EMBEDDING_NAME, FINAL_NORM_NAME, LM_HEAD_NAME, layerTensorName } from './weights.ts';

export interface ImportLlama2cOptions {
  /** llama2.c `.bin` checkpoint, legacy float32 or int8 (version 2). */
  readonly checkpoint: string;
  /** Its `tokenizer.bin`. */
  readonly tokenizer: string;
  /** Folder to make; it may exist if it is empty. */
  readonly out: string;
}

export interface ImportSummary {
  /** Absolute path of the new folder. */
  readonly dir: string;
  readonly parameters: number;
  readonly header: Llama2cHeader;
}

/**
 * Turns a llama2.c model into a Hugging Face folder: config.json, model.safetensors (float32), tokenizer.json,
 * tokenizer_config.json. The folder appears whole or not at all.
 * @throws UserError `llama2c/…`, `import/…`
 */
export async function importLlama2c(options: ImportLlama2cOptions): Promise<ImportSummary> {
  const out = resolve(options.out);
  requireEmpty(out);
  const checkpoint = parseLlama2c(options.checkpoint, readInput(options.checkpoint));
  const { header } = checkpoint;
  const pieces = parseLlama2cTokenizer(options.tokenizer, readInput(options.tokenizer), header.vocabSize);
  const tokenizerJson = buildTokenizerJson(options.tokenizer, pieces);
  const tensors = convertTensors(checkpoint);
  const temporary = join(dirname(out), `.${basename(out)}.${randomBytes(6).toString('hex')}.tmp`);
  await mkdir(temporary, { recursive: true });
  try {
    await writeSafetensors(join(temporary, 'model.safetensors'), tensors, { format: 'pt' });
    await writeJson(join(temporary, 'config.json'), buildConfig(header));
    await writeJson(join(temporary, 'tokenizer.json'), tokenizerJson);
    await writeJson(join(temporary, 'tokenizer_config.json'), buildTokenizerConfig(header));
    if (existsSync(out)) await rmdir(out);
    await rename(temporary, out);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  const parameters = Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0);
  return { dir: out, parameters, header };
}

function requireEmpty(out: string): void {
  if (!existsSync(out)) return;
  const isFolder = statSync(out).isDirectory();
  if (isFolder && readdirSync(out).length === 0) return;
  throw new UserError(
    'import/exists',
    `${out} exists and is ${isFolder ? 'not empty' : 'a file'}; nothing is overwritten.`,
    'Choose another folder, or remove this one first.',
  );
}

function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UserError(
      'import/unreadable',
      `${path} cannot be read: ${messageOf(error)}.`,
      'Check the path.',
    );
  }
}

async function writeJson(path: string, value: object): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
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

function convertTensors({ header, tensors }: Llama2cCheckpoint): Record<string, HostTensor<Float32Array>> {
  const headDim = header.dim / header.heads;
  const out: Record<string, HostTensor<Float32Array>> = {};
  const put = (name: string, source: string, pairHeads = false): void => {
    const tensor = tensors.get(source);
    if (!tensor) throw new RangeError(`llama2.c checkpoint without ${source}`);
    out[name] = float32(tensor.dims, pairHeads ? pairByHalves(tensor, headDim) : tensor.data);
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

/**
 * llama2.c turns rows (2j, 2j+1) of a head together, Hugging Face rows (j, j + headDim/2): row 2j moves to j and row
 * 2j+1 to j + headDim/2 in every head. q·k is unchanged since both are permuted alike.
 */
function pairByHalves({ dims, data }: Llama2cTensor, headDim: number): Float32Array {
  const [rows, width] = dims as [number, number];
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const within = row % headDim;
    const target = row - within + (within % 2) * (headDim / 2) + Math.floor(within / 2);
    out.set(data.subarray(row * width, (row + 1) * width), target * width);
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
    // The two constants of llama2.c.
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
