/** GGUF files of the golden models, as llama.cpp's converter lays them out. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Checkpoint, LayerRole } from '../../src/engine/model/checkpoint.ts';
import type { ImportGgufOptions } from '../../src/engine/model/import-gguf.ts';
import { importGguf } from '../../src/engine/model/import-gguf.ts';
import { readBytes } from '../../src/formats/tensor-io.ts';
import type { FileTensor } from '../../src/protocol/tensor.ts';
import { BYTES_PER_ELEMENT } from '../../src/protocol/tensor.ts';
import { temporaryFolder } from '../formats/support.ts';
import type { GgufContents, TensorType, TypedValue, WrittenTensor } from './gguf-writer.ts';
import { ggufBytes } from './gguf-writer.ts';

const NAMES: readonly (readonly [LayerRole, string])[] = [
  ['inputNorm', 'attn_norm.weight'],
  ['q', 'attn_q.weight'],
  ['k', 'attn_k.weight'],
  ['v', 'attn_v.weight'],
  ['o', 'attn_output.weight'],
  ['postNorm', 'ffn_norm.weight'],
  ['gate', 'ffn_gate.weight'],
  ['up', 'ffn_up.weight'],
  ['down', 'ffn_down.weight'],
  ['qBias', 'attn_q.bias'],
  ['kBias', 'attn_k.bias'],
  ['vBias', 'attn_v.bias'],
  ['oBias', 'attn_output.bias'],
  ['gateBias', 'ffn_gate.bias'],
  ['upBias', 'ffn_up.bias'],
  ['downBias', 'ffn_down.bias'],
  ['qNorm', 'attn_q_norm.weight'],
  ['kNorm', 'attn_k_norm.weight'],
];

const TYPES: Readonly<Record<string, TensorType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

function copied(tensor: FileTensor): WrittenTensor {
  const { path, byteOffset, byteLength, dims, dtype } = tensor;
  return { type: TYPES[dtype]!, dims, bytes: readBytes(path, byteOffset, byteLength) };
}

/**
 * The rows of q and k for rotary pairs of neighbours: seen as [heads, 2, headDim/2, width] with the middle axes swapped.
 * @param width bytes of a row.
 */
export function interleaveRows(bytes: Uint8Array, heads: number, headDim: number, width: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  let at = 0;
  for (let head = 0; head < heads; head++)
    for (let j = 0; j < headDim / 2; j++)
      for (let half = 0; half < 2; half++) {
        const row = head * headDim + half * (headDim / 2) + j;
        out.set(bytes.subarray(row * width, (row + 1) * width), at);
        at += width;
      }
  return out;
}

function convertedTensors(checkpoint: Checkpoint): Record<string, WrittenTensor> {
  const { config } = checkpoint;
  const out: Record<string, WrittenTensor> = {
    'token_embd.weight': copied(checkpoint.embedding),
    'output_norm.weight': copied(checkpoint.finalNorm),
  };
  if (!checkpoint.tiedEmbeddings) out['output.weight'] = copied(checkpoint.lmHead);
  const interleaved = config.architecture === 'llama' || config.architecture === 'mistral';
  for (let layer = 0; layer < config.layers; layer++) {
    const weights = checkpoint.layer(layer);
    for (const [role, name] of NAMES) {
      const source = weights[role];
      if (!source) continue;
      const tensor = copied(source);
      const heads = role.startsWith('q') ? config.heads : config.kvHeads;
      const width = (source.dims[1] ?? 1) * BYTES_PER_ELEMENT[source.dtype];
      const turned = interleaved && ['q', 'k', 'qBias', 'kBias'].includes(role);
      const bytes = turned ? interleaveRows(tensor.bytes, heads, config.headDim, width) : tensor.bytes;
      out[`blk.${layer}.${name}`] = { ...tensor, bytes };
    }
  }
  return out;
}

/** Frequency factors of the Llama 3 rule, float32: 1, the factor, or the reciprocal of the blend. */
export function llama3Factors(
  headDim: number,
  theta: number,
  rule: { factor: number; low: number; high: number; positions: number },
): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, j) => {
    const wavelength = (2 * Math.PI) / Math.fround(1 / Math.fround(theta ** ((2 * j) / headDim)));
    if (wavelength < rule.positions / rule.high) return 1;
    if (wavelength > rule.positions / rule.low) return rule.factor;
    const smooth = (rule.positions / wavelength - rule.low) / (rule.high - rule.low);
    return 1 / ((1 - smooth) / rule.factor + smooth);
  });
}

/** A vocabulary of as many tokens as the goldens' embedding has rows. */
export const TOKENIZER: Readonly<Record<string, TypedValue>> = {
  'tokenizer.ggml.model': ['text', 'gpt2'],
  'tokenizer.ggml.pre': ['text', 'gpt-2'],
  'tokenizer.ggml.tokens': [
    'text',
    ['<s>', '</s>', ...Array.from({ length: 62 }, (_, i) => String.fromCharCode(33 + i))],
  ],
  'tokenizer.ggml.token_type': ['i32', [3, 3, ...new Array<number>(62).fill(1)]],
  'tokenizer.ggml.merges': ['text', []],
  'tokenizer.ggml.bos_token_id': ['u32', 0],
  'tokenizer.ggml.eos_token_id': ['u32', 1],
};

/** The whole contents of the GGUF file of a golden model. */
export function ggufOf(checkpoint: Checkpoint): GgufContents {
  const { config } = checkpoint;
  const arch = config.architecture === 'mistral' ? 'llama' : config.architecture;
  const metadata: Record<string, TypedValue> = {
    'general.architecture': ['text', arch],
    [`${arch}.block_count`]: ['u32', config.layers],
    [`${arch}.context_length`]: ['u32', config.maxPositions],
    [`${arch}.embedding_length`]: ['u32', config.hiddenSize],
    [`${arch}.feed_forward_length`]: ['u32', config.intermediateSize],
    [`${arch}.attention.head_count`]: ['u32', config.heads],
    [`${arch}.attention.head_count_kv`]: ['u32', config.kvHeads],
    [`${arch}.attention.layer_norm_rms_epsilon`]: ['f32', config.rmsNormEps],
    [`${arch}.rope.freq_base`]: ['f32', config.ropeTheta],
    ...TOKENIZER,
  };
  const tensors = convertedTensors(checkpoint);
  if (config.headDim !== config.hiddenSize / config.heads)
    metadata[`${arch}.attention.key_length`] = ['u32', config.headDim];
  if (config.slidingWindow !== null) {
    metadata[`${arch}.attention.sliding_window`] = ['u32', config.slidingWindow];
    metadata[`${arch}.attention.sliding_window_pattern`] = [
      'flag',
      config.layerWindows.map((window) => window !== null),
    ];
  }
  const { ropeScaling } = config;
  if (ropeScaling?.type === 'linear') {
    metadata[`${arch}.rope.scaling.type`] = ['text', 'linear'];
    metadata[`${arch}.rope.scaling.factor`] = ['f32', ropeScaling.factor];
  } else if (ropeScaling?.type === 'llama3') {
    const factors = llama3Factors(config.headDim, config.ropeTheta, {
      factor: ropeScaling.factor,
      low: ropeScaling.lowFreqFactor,
      high: ropeScaling.highFreqFactor,
      positions: ropeScaling.originalMaxPositions,
    });
    const bytes = new Uint8Array(factors.buffer);
    tensors['rope_freqs.weight'] = { type: 'F32', dims: [factors.length], bytes };
  }
  return { metadata, tensors };
}

export function readJson(folder: string, file: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, file), 'utf8')) as Record<string, unknown>;
}

/** Writes the file and imports it. @returns the folder. */
export async function imported(
  t: TestContext,
  contents: GgufContents,
  options: Partial<ImportGgufOptions> = {},
): Promise<string> {
  const folder = temporaryFolder(t);
  const file = join(folder, 'model.gguf');
  writeFileSync(file, ggufBytes(contents));
  const { dir } = await importGguf({ file, out: join(folder, 'sub', 'model'), ...options });
  return dir;
}
