import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readingNow } from '../../disk/faults.ts';
import { expectKind } from '../../disk/file-kind.ts';
import { UserError } from '../../protocol/errors.ts';
import { ConfigFields } from './config-fields.ts';
import type { RopeScaling } from './config-rope.ts';
import { readRope } from './config-rope.ts';

export type { RopeScaling } from './config-rope.ts';

export type Architecture = 'llama' | 'mistral' | 'qwen2' | 'qwen3';

/** The model is a decoder-only transformer with RMSNorm, rotary embedding, grouped-query attention and SwiGLU. */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** A query sees this many tokens, itself included, in layers with a window; null if no layer has one. */
  readonly slidingWindow: number | null;
  /** Each layer has `slidingWindow`, or null where it sees all earlier tokens. */
  readonly layerWindows: readonly (number | null)[];
  /** True where q, k and v projections have biases. */
  readonly attentionBias: boolean;
  /** True where the o projection has a bias. */
  readonly outputBias: boolean;
  /** True where gate, up and down projections have biases. */
  readonly mlpBias: boolean;
  /** True where RMSNorm acts on each head's q and k before the rotary embedding. */
  readonly qkNorm: boolean;
  readonly tiedEmbeddings: boolean;
}

/** An architecture's defaults where its config.json has no value, as in transformers. */
interface Family {
  readonly architecture: Architecture;
  readonly kvHeads: number | null;
  readonly headDim: number | null;
  readonly maxPositions: number;
  /** Layers that may have a sliding window; config.json switches `listed` ones on and may name them. */
  readonly windows: 'none' | 'all' | 'listed';
}

const FAMILIES: Readonly<Record<string, Family>> = {
  LlamaForCausalLM: {
    architecture: 'llama',
    kvHeads: null,
    headDim: null,
    maxPositions: 2048,
    windows: 'none',
  },
  MistralForCausalLM: {
    architecture: 'mistral',
    kvHeads: 8,
    headDim: null,
    maxPositions: 131072,
    windows: 'all',
  },
  Qwen2ForCausalLM: {
    architecture: 'qwen2',
    kvHeads: 32,
    headDim: null,
    maxPositions: 32768,
    windows: 'listed',
  },
  Qwen3ForCausalLM: {
    architecture: 'qwen3',
    kvHeads: 32,
    headDim: 128,
    maxPositions: 32768,
    windows: 'listed',
  },
};

/**
 * Reads `config.json` of a Hugging Face model folder.
 * @throws UserError `model/…` naming the key, what was found and what is supported.
 */
export function readModelConfig(dir: string): ModelConfig {
  const path = join(dir, 'config.json');
  expectKind(path, 'json');
  const better = {
    code: 'model/no-config',
    hint: 'Give the folder that holds config.json, *.safetensors and tokenizer.json.',
  };
  if (!existsSync(path))
    throw new UserError(
      better.code,
      `${dir} is not a Hugging Face model folder: it has no config.json.`,
      better.hint,
    );
  const text = readingNow(path, () => readFileSync(path, 'utf8'), better);
  return parseModelConfig(path, text);
}

/** {@link readModelConfig} on text; `path` appears in messages. */
export function parseModelConfig(path: string, text: string): ModelConfig {
  const fields = ConfigFields.parse(path, text);
  const family = readFamily(fields);
  rejectUnsupported(fields);
  const config: ModelConfig = {
    architecture: family.architecture,
    hiddenSize: fields.count('hidden_size'),
    intermediateSize: fields.count('intermediate_size'),
    layers: fields.count('num_hidden_layers'),
    vocabSize: fields.count('vocab_size'),
    maxPositions: fields.count('max_position_embeddings', family.maxPositions),
    rmsNormEps: fields.positive('rms_norm_eps', 1e-6),
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    ...readHeads(fields, family),
    ...readRope(fields),
    ...readBiases(fields, family.architecture),
    ...readWindows(fields, family),
  };
  checkHeads(path, config);
  return config;
}

function readFamily(fields: ConfigFields): Family {
  const listed = fields.value('architectures');
  const name = Array.isArray(listed) && listed.length > 0 ? String(listed[0]) : undefined;
  const byName = name !== undefined && Object.hasOwn(FAMILIES, name) ? FAMILIES[name] : undefined;
  const type = fields.value('model_type');
  const byType =
    name === undefined ? Object.values(FAMILIES).find((family) => family.architecture === type) : undefined;
  const family = byName ?? byType;
  if (family) return family;
  throw new UserError(
    'model/architecture',
    `${fields.path}: architecture ${name ?? JSON.stringify(type)} is not supported; supported are ${Object.keys(FAMILIES).join(', ')}.`,
    'Choose a model of one of these architectures.',
  );
}

function rejectUnsupported(fields: ConfigFields): void {
  const activation = fields.value('hidden_act') ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish') {
    throw new UserError(
      'model/activation',
      `${fields.path}: hidden_act is ${JSON.stringify(activation)}; only "silu" is supported.`,
      'Choose a model with a SwiGLU feed-forward block.',
    );
  }
  const quantization = fields.value('quantization_config');
  if (quantization !== undefined && quantization !== null) {
    throw new UserError(
      'model/quantized',
      `${fields.path} has a quantization_config: these weights are quantized already.`,
      'Use the full-precision (bfloat16, float16 or float32) checkpoint of the model.',
    );
  }
}

function readHeads(fields: ConfigFields, family: Family): Pick<ModelConfig, 'heads' | 'kvHeads' | 'headDim'> {
  const heads = fields.count('num_attention_heads');
  // An explicit null means as many as query heads; a missing key means the architecture's default.
  const kvFallback = fields.value('num_key_value_heads') === null ? heads : (family.kvHeads ?? heads);
  const kvHeads = fields.count('num_key_value_heads', kvFallback);
  const headDim = fields.count('head_dim', family.headDim ?? fields.count('hidden_size') / heads);
  return { heads, kvHeads, headDim };
}

function readBiases(
  fields: ConfigFields,
  architecture: Architecture,
): Pick<ModelConfig, 'attentionBias' | 'outputBias' | 'mlpBias' | 'qkNorm'> {
  const declared = fields.flag('attention_bias', false);
  const qkNorm = architecture === 'qwen3';
  switch (architecture) {
    case 'llama':
      return {
        attentionBias: declared,
        outputBias: declared,
        mlpBias: fields.flag('mlp_bias', false),
        qkNorm,
      };
    case 'mistral':
      return { attentionBias: false, outputBias: false, mlpBias: false, qkNorm };
    case 'qwen2':
      return { attentionBias: true, outputBias: false, mlpBias: false, qkNorm };
    case 'qwen3':
      return { attentionBias: declared, outputBias: declared, mlpBias: false, qkNorm };
  }
}

/** Mistral has one window for all layers; Qwen only with `use_sliding_window`, from layer `max_window_layers` on. */
function readWindows(
  fields: ConfigFields,
  { windows }: Family,
): Pick<ModelConfig, 'slidingWindow' | 'layerWindows'> {
  const layers = fields.count('num_hidden_layers');
  const none = { slidingWindow: null, layerWindows: new Array<null>(layers).fill(null) };
  const isListed = windows === 'listed';
  if (windows === 'none' || (isListed && !fields.flag('use_sliding_window', false))) return none;
  if (fields.value('sliding_window') === null) return none;
  const window = fields.count('sliding_window', 4096);
  const types = isListed
    ? readLayerTypes(fields, layers)
    : new Array<string>(layers).fill('sliding_attention');
  const layerWindows = types.map((type) => (type === 'sliding_attention' ? window : null));
  return { slidingWindow: layerWindows.includes(window) ? window : null, layerWindows };
}

function readLayerTypes(fields: ConfigFields, layers: number): readonly string[] {
  const types = fields.value('layer_types');
  if (types === undefined || types === null) {
    const first = fields.value('max_window_layers') === 0 ? 0 : fields.count('max_window_layers', 28);
    return Array.from({ length: layers }, (_, i) => (i >= first ? 'sliding_attention' : 'full_attention'));
  }
  const known = ['sliding_attention', 'full_attention'];
  if (Array.isArray(types) && types.length === layers && types.every((type) => known.includes(type)))
    return types;
  return fields.fail('layer_types', `${layers} entries, each "full_attention" or "sliding_attention"`);
}

function checkHeads(path: string, config: ModelConfig): void {
  const { heads, kvHeads, headDim, hiddenSize } = config;
  const fail = (problem: string): never => {
    throw new UserError('model/heads', `${path}: ${problem}.`, 'Check config.json against the model card.');
  };
  if (!Number.isInteger(headDim))
    fail(`hidden_size ${hiddenSize} is not a multiple of num_attention_heads ${heads}`);
  if (headDim % 2 !== 0) fail(`head_dim is ${headDim}; the rotary embedding needs an even number`);
  if (heads % kvHeads !== 0) {
    fail(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`);
  }
}
