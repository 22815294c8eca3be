import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readingNow } from '../../disk/faults.ts';
import { expectKind } from '../../disk/file-kind.ts';
import { UserError } from '../../protocol/errors.ts';
import { MODEL_FOLDER_HINT } from '../../protocol/model-folder.ts';
import { type Architecture, type Family, readFamily } from './config-family.ts';
import { ConfigFields } from './config-fields.ts';
import type { RopeScaling } from './config-rope.ts';
import { readRope } from './config-rope.ts';

export type { Architecture } from './config-family.ts';
export type { RopeScaling } from './config-rope.ts';

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

/** What config.json says: the model, and claims that only its tensors can prove. */
export interface ConfigFile {
  readonly path: string;
  readonly config: ModelConfig;
  /** How the weights are said to be quantized, in the words of the file; null where it says nothing. */
  readonly quantizedBy: string | null;
}

/**
 * Reads `config.json` of a Hugging Face model folder.
 * @throws UserError `model/…` naming the key, what was found and what is supported.
 */
export function readConfigFile(dir: string): ConfigFile {
  const path = join(dir, 'config.json');
  expectKind(path, 'json');
  const better = {
    code: 'model/no-config',
    hint: MODEL_FOLDER_HINT,
  };
  if (!existsSync(path))
    throw new UserError(
      better.code,
      `${dir} is not a Hugging Face model folder: it has no config.json.`,
      better.hint,
    );
  const text = readingNow(path, () => readFileSync(path, 'utf8'), better);
  const fields = ConfigFields.parse(path, text);
  return { path, config: configOf(fields), quantizedBy: quantizerOf(fields) };
}

/** The model of {@link readConfigFile}, unproven. */
export function readModelConfig(dir: string): ModelConfig {
  return readConfigFile(dir).config;
}

/** {@link readModelConfig} on text; `path` appears in messages. */
export function parseModelConfig(path: string, text: string): ModelConfig {
  return configOf(ConfigFields.parse(path, text));
}

function configOf(fields: ConfigFields): ModelConfig {
  const family = readFamily(fields);
  rejectUnsupported(fields);
  const maxPositions = fields.count('max_position_embeddings', family.maxPositions);
  const heads = readHeads(fields, family);
  const config: ModelConfig = {
    architecture: family.architecture,
    hiddenSize: readWidth(fields, 'hidden_size'),
    intermediateSize: readWidth(fields, 'intermediate_size'),
    layers: readLayers(fields),
    vocabSize: fields.count('vocab_size'),
    maxPositions,
    rmsNormEps: fields.positive('rms_norm_eps', 1e-6),
    tiedEmbeddings: fields.flag('tie_word_embeddings', false),
    ...heads,
    ...readRope(fields, maxPositions, heads.headDim),
    ...readBiases(fields, family.architecture),
    ...readWindows(fields, family),
  };
  checkHeads(fields.path, config);
  return config;
}

/** Far above any model that there is: a list of this length costs nothing. */
const MAX_LAYERS = 10_000;
/** Likewise: what is planned for such a width (its Hadamard matrix) takes no time. */
const MAX_WIDTH = 2 ** 24;

const readLayers = (fields: ConfigFields): number => fields.count('num_hidden_layers', undefined, MAX_LAYERS);
const readWidth = (fields: ConfigFields, key: string): number => fields.count(key, undefined, MAX_WIDTH);

/** The method and the numbers that a quantizer left in config.json, such as `gptq, bits 4`. */
function quantizerOf(fields: ConfigFields): string | null {
  const settings = fields.value('quantization_config') ?? null;
  if (settings === null) return null;
  const quantizer = fields.nested('quantization_config');
  const method = quantizer?.value('quant_method');
  const bits = quantizer?.value('bits');
  const words = [typeof method === 'string' ? method : 'an unnamed method'];
  if (typeof bits === 'number') words.push(`bits ${bits}`);
  return words.join(', ');
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
}

function readHeads(fields: ConfigFields, family: Family): Pick<ModelConfig, 'heads' | 'kvHeads' | 'headDim'> {
  const heads = readWidth(fields, 'num_attention_heads');
  // An explicit null means as many as query heads; a missing key means the architecture's default.
  const kvFallback = fields.value('num_key_value_heads') === null ? heads : (family.kvHeads ?? heads);
  const kvHeads = fields.count('num_key_value_heads', kvFallback, MAX_WIDTH);
  const headDim = fields.count(
    'head_dim',
    family.headDim ?? readWidth(fields, 'hidden_size') / heads,
    MAX_WIDTH,
  );
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
  const layers = readLayers(fields);
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
