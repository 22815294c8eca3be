import type { GgufFile } from '../../../formats/gguf.ts';
import { readGgufTensor } from '../../../formats/gguf-types.ts';
import { toFloat32 } from '../../../formats/tensor-io.ts';
import { UserError } from '../../../protocol/errors.ts';
import { GgufFields } from './fields.ts';
import { type GgufRopeScaling, readRopeScaling } from './rope-scaling.ts';

export const ROPE_FACTORS = 'rope_freqs.weight';

/** The names are llama.cpp's. Mistral models are "llama" models, with a window or without. */
export const GGUF_ARCHITECTURES = ['llama', 'qwen2', 'qwen3'] as const;
export type GgufArchitecture = (typeof GGUF_ARCHITECTURES)[number];

/** @throws UserError `gguf/architecture` for another one, or a mixture of experts. */
export function readArchitecture(fields: GgufFields): GgufArchitecture {
  const found = fields.text('general.architecture');
  const architecture = GGUF_ARCHITECTURES.find((name) => name === found);
  if (!architecture)
    throw new UserError(
      'gguf/architecture',
      `${fields.path}: general.architecture is ${JSON.stringify(found)}; supported are ${GGUF_ARCHITECTURES.join(', ')}.`,
      'Choose a model of one of these architectures ("llama" includes Mistral, SmolLM and TinyLlama).',
    );
  const experts = fields.whole(`${architecture}.expert_count`) ?? 0;
  if (experts > 0)
    throw new UserError(
      'gguf/architecture',
      `${fields.path} is a mixture of ${experts} experts; only dense models are supported.`,
      'Choose a dense model.',
    );
  return architecture;
}

/**
 * Builds config.json for a GGUF model, as an object.
 * @param dtype of the folder's tensors, in transformers' words.
 * @throws UserError `gguf/…`
 */
export function buildGgufConfig(file: GgufFile, dtype: string): Record<string, unknown> {
  const fields = new GgufFields(file);
  const architecture = readArchitecture(fields);
  const key = (name: string): string => `${architecture}.${name}`;
  const heads = fields.count(key('attention.head_count'));
  const hiddenSize = fields.count(key('embedding_length'));
  const headDim = readHeadDim(fields, architecture, hiddenSize / heads);
  const ropeTheta = fields.positive(key('rope.freq_base')) ?? 10000;
  const factors = file.tensors.get(ROPE_FACTORS);
  const scaling = readRopeScaling(
    fields,
    architecture,
    { headDim, ropeTheta },
    factors && toFloat32(readGgufTensor(factors)),
  );
  const epsilon = fields.positive(key('attention.layer_norm_rms_epsilon'));
  return {
    ...readFamily(file, fields, architecture),
    hidden_size: hiddenSize,
    intermediate_size: fields.count(key('feed_forward_length')),
    num_hidden_layers: layerCount(file, fields, key('block_count')),
    num_attention_heads: heads,
    num_key_value_heads: fields.whole(key('attention.head_count_kv')) ?? heads,
    head_dim: headDim,
    vocab_size: vocabularyRows(file),
    max_position_embeddings: fields.count(key('context_length')),
    hidden_act: 'silu',
    rms_norm_eps: epsilon ?? fields.fail(key('attention.layer_norm_rms_epsilon'), 'a number above 0'),
    rope_theta: ropeTheta,
    rope_scaling: ropeScalingJson(scaling),
    tie_word_embeddings: !file.tensors.has('output.weight'),
    torch_dtype: dtype,
  };
}

/** Each layer has tensors of its own, so their number bounds what is made for each of the layers. */
function layerCount(file: GgufFile, fields: GgufFields, key: string): number {
  const layers = fields.count(key);
  if (layers <= file.tensors.size) return layers;
  throw new UserError(
    'gguf/metadata',
    `${file.path}: ${key} is ${layers}, but the file has only ${file.tensors.size} tensors, and each layer has some of its own.`,
    'The file is damaged or holds a part of a model: copy or download it again.',
  );
}

function vocabularyRows(file: GgufFile): number {
  const rows = file.tensors.get('token_embd.weight')?.dims[0];
  if (rows !== undefined) return rows;
  throw new UserError(
    'gguf/missing-tensor',
    `${file.path} has no tensor token_embd.weight.`,
    'The file holds only a part of a model (an adapter, or a vocabulary): use the file of the model.',
  );
}

function readHeadDim(fields: GgufFields, architecture: string, fallback: number): number {
  const headDim = fields.whole(`${architecture}.attention.key_length`) ?? fallback;
  for (const name of ['attention.value_length', 'rope.dimension_count']) {
    const other = fields.whole(`${architecture}.${name}`) ?? headDim;
    if (other !== headDim)
      throw new UserError(
        'gguf/heads',
        `${fields.path}: ${architecture}.${name} is ${other}, but heads have ${headDim} channels; they must be equal.`,
        'Choose a model whose rotary embedding covers whole heads, with keys and values of one width.',
      );
  }
  return headDim;
}

/** Reads the settings in which the families differ: class, biases, windows. */
function readFamily(
  file: GgufFile,
  fields: GgufFields,
  architecture: GgufArchitecture,
): Record<string, unknown> {
  const bias = (name: string): boolean => file.tensors.has(`blk.0.${name}.bias`);
  const context = fields.count(`${architecture}.context_length`);
  const given = fields.whole(`${architecture}.attention.sliding_window`) || null;
  // A window that no text exceeds has no effect.
  const window = given !== null && given < context ? given : null;
  switch (architecture) {
    case 'llama':
      return window === null
        ? {
            architectures: ['LlamaForCausalLM'],
            model_type: 'llama',
            attention_bias: bias('attn_q') || bias('attn_output'),
            mlp_bias: bias('ffn_gate'),
          }
        : { architectures: ['MistralForCausalLM'], model_type: 'mistral', sliding_window: window };
    case 'qwen2':
      return {
        architectures: ['Qwen2ForCausalLM'],
        model_type: 'qwen2',
        ...qwenWindows(fields, architecture, window),
      };
    case 'qwen3':
      return {
        architectures: ['Qwen3ForCausalLM'],
        model_type: 'qwen3',
        attention_bias: bias('attn_q'),
        ...qwenWindows(fields, architecture, window),
      };
  }
}

/** Qwen models have the window in some layers. Only a list of all layers tells which ones. */
function qwenWindows(
  fields: GgufFields,
  architecture: string,
  window: number | null,
): Record<string, unknown> {
  if (window === null) return { use_sliding_window: false, sliding_window: null };
  const key = `${architecture}.attention.sliding_window_pattern`;
  const pattern = fields.flags(key);
  if (pattern?.length !== fields.count(`${architecture}.block_count`))
    fields.fail(key, 'a list that tells for each layer whether it has the sliding window');
  return {
    use_sliding_window: true,
    sliding_window: window,
    layer_types: pattern?.map((slides) => (slides ? 'sliding_attention' : 'full_attention')),
  };
}

function ropeScalingJson(scaling: GgufRopeScaling): object | null {
  if (scaling === null) return null;
  switch (scaling.type) {
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFreqFactor,
        high_freq_factor: scaling.highFreqFactor,
        original_max_position_embeddings: scaling.originalMaxPositions,
      };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalMaxPositions,
        attention_factor: scaling.attentionFactor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
      };
  }
}
