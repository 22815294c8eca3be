/** Writes checkpoints of real shapes with random bf16 weights, or a sparse file of zeros where only memory counts. */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface SyntheticShape {
  readonly name: string;
  readonly hidden: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabulary: number;
  readonly tied: boolean;
  /** Positions; 8192 where absent. */
  readonly positions?: number;
}

export const SMOLLM2_135M: SyntheticShape = {
  name: 'smollm2-135m',
  hidden: 576,
  intermediate: 1536,
  layers: 30,
  heads: 9,
  kvHeads: 3,
  vocabulary: 49152,
  tied: true,
};

export const LLAMA32_1B: SyntheticShape = {
  name: 'llama3.2-1b',
  hidden: 2048,
  intermediate: 8192,
  layers: 16,
  heads: 32,
  kvHeads: 8,
  vocabulary: 128256,
  tied: true,
  positions: 16384,
};

export const LLAMA3_8B: SyntheticShape = {
  name: 'llama3-8b',
  hidden: 4096,
  intermediate: 14336,
  layers: 32,
  heads: 32,
  kvHeads: 8,
  vocabulary: 128256,
  tied: false,
};

/** One layer of it under a small vocabulary also fits PyTorch. */
export const LLAMA3_8B_LAYER: SyntheticShape = {
  ...LLAMA3_8B,
  name: 'llama3-8b-layer',
  layers: 1,
  vocabulary: 1024,
};

export const LLAMA2_70B: SyntheticShape = {
  name: 'llama2-70b',
  hidden: 8192,
  intermediate: 28672,
  layers: 80,
  heads: 64,
  kvHeads: 8,
  vocabulary: 32000,
  tied: false,
};

const BYTES = 2;
/** Random values repeat after this many elements, which does not affect products. */
const PATTERN = 1 << 20;

/** Lists every tensor with its shape, in file order. */
function tensorsOf(shape: SyntheticShape): [string, number[]][] {
  const { hidden: d, intermediate: f, heads, kvHeads, vocabulary, layers } = shape;
  const h = d / heads;
  const block = (i: number): [string, number[]][] => {
    const p = `model.layers.${i}.`;
    return [
      [`${p}input_layernorm.weight`, [d]],
      [`${p}self_attn.q_proj.weight`, [d, d]],
      [`${p}self_attn.k_proj.weight`, [kvHeads * h, d]],
      [`${p}self_attn.v_proj.weight`, [kvHeads * h, d]],
      [`${p}self_attn.o_proj.weight`, [d, d]],
      [`${p}post_attention_layernorm.weight`, [d]],
      [`${p}mlp.gate_proj.weight`, [f, d]],
      [`${p}mlp.up_proj.weight`, [f, d]],
      [`${p}mlp.down_proj.weight`, [d, f]],
    ];
  };
  return [
    ['model.embed_tokens.weight', [vocabulary, d]],
    ...Array.from({ length: layers }, (_, i) => block(i)).flat(),
    ['model.norm.weight', [d]],
    ...(shape.tied ? [] : ([['lm_head.weight', [vocabulary, d]]] as [string, number[]][])),
  ];
}

/** Writes the folder unless it exists. @param sparse zeros that take no room on disk. */
export function writeSynthetic(folder: string, shape: SyntheticShape, sparse: boolean): void {
  const weights = join(folder, 'model.safetensors');
  if (existsSync(weights)) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(shape)));
  let offset = 0;
  const tensors = tensorsOf(shape).map(([name, dims]) => {
    const size = dims.reduce((a, b) => a * b, 1) * BYTES;
    offset += size;
    return { name, dims, begin: offset - size, end: offset };
  });
  const header = Object.fromEntries(
    tensors.map((t) => [t.name, { dtype: 'BF16', shape: t.dims, data_offsets: [t.begin, t.end] }]),
  );
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const file = openSync(weights, 'w');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeSync(file, length);
  writeSync(file, padded);
  const start = 8 + padded.length;
  if (sparse) ftruncateSync(file, start + offset);
  else for (const tensor of tensors) fill(file, start, tensor);
  closeSync(file);
}

function fill(
  file: number,
  start: number,
  { dims, begin, end }: { dims: number[]; begin: number; end: number },
): void {
  const pattern = dims.length === 1 ? ONES : NOISE;
  for (let at = begin; at < end; at += pattern.byteLength) {
    writeSync(file, pattern, 0, Math.min(pattern.byteLength, end - at), start + at);
  }
}

const ONES = Buffer.from(new Uint16Array(PATTERN).fill(0x3f80).buffer);
/** Values are uniform in ±0.07, with a standard deviation of 0.04, as bf16. */
const NOISE = Buffer.from(
  Uint16Array.from({ length: PATTERN }, () => {
    const bits = new Uint32Array(Float32Array.of((Math.random() - 0.5) * 0.14).buffer)[0]!;
    return bits >>> 16;
  }).buffer,
);

function configOf(shape: SyntheticShape): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    vocab_size: shape.vocabulary,
    max_position_embeddings: shape.positions ?? 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
    tie_word_embeddings: shape.tied,
    torch_dtype: 'bfloat16',
    hidden_act: 'silu',
  };
}
