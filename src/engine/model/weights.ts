import type { FileTensor, HostTensor } from '../../protocol/tensor.ts';
import type { ModelConfig } from './config.ts';

/** One decoder layer. A projection W is [out, in] and acts as y = x Wᵀ + b. */
export interface LayerWeights {
  /** RMSNorm gain before attention, [hiddenSize]. */
  readonly inputNorm: FileTensor;
  /** [heads·headDim, hiddenSize] */
  readonly q: FileTensor;
  /** [kvHeads·headDim, hiddenSize] */
  readonly k: FileTensor;
  /** [kvHeads·headDim, hiddenSize] */
  readonly v: FileTensor;
  /** [hiddenSize, heads·headDim] */
  readonly o: FileTensor;
  /** RMSNorm gain before the feed-forward block, [hiddenSize]. */
  readonly postNorm: FileTensor;
  /** [intermediateSize, hiddenSize] */
  readonly gate: FileTensor;
  /** [intermediateSize, hiddenSize] */
  readonly up: FileTensor;
  /** [hiddenSize, intermediateSize] */
  readonly down: FileTensor;
  readonly qBias?: FileTensor;
  readonly kBias?: FileTensor;
  readonly vBias?: FileTensor;
  readonly oBias?: FileTensor;
  readonly gateBias?: FileTensor;
  readonly upBias?: FileTensor;
  readonly downBias?: FileTensor;
  /** RMSNorm gain of each query head, [headDim]. */
  readonly qNorm?: FileTensor;
  /** RMSNorm gain of each key head, [headDim]. */
  readonly kNorm?: FileTensor;
  /** Mean of the keys before RoPE on a text, [1, kvHeads·headDim]: no tensor of the model, but measured on it. */
  readonly keyMean?: HostTensor<Float32Array>;
}

export type LayerRole = Exclude<keyof LayerWeights, 'keyMean'>;

/** Hugging Face names under `model.layers.{i}.`. */
export const LAYER_TENSOR_NAMES: Readonly<Record<LayerRole, string>> = {
  inputNorm: 'input_layernorm.weight',
  q: 'self_attn.q_proj.weight',
  k: 'self_attn.k_proj.weight',
  v: 'self_attn.v_proj.weight',
  o: 'self_attn.o_proj.weight',
  postNorm: 'post_attention_layernorm.weight',
  gate: 'mlp.gate_proj.weight',
  up: 'mlp.up_proj.weight',
  down: 'mlp.down_proj.weight',
  qBias: 'self_attn.q_proj.bias',
  kBias: 'self_attn.k_proj.bias',
  vBias: 'self_attn.v_proj.bias',
  oBias: 'self_attn.o_proj.bias',
  gateBias: 'mlp.gate_proj.bias',
  upBias: 'mlp.up_proj.bias',
  downBias: 'mlp.down_proj.bias',
  qNorm: 'self_attn.q_norm.weight',
  kNorm: 'self_attn.k_norm.weight',
};

export const EMBEDDING_NAME = 'model.embed_tokens.weight';
export const FINAL_NORM_NAME = 'model.norm.weight';
export const LM_HEAD_NAME = 'lm_head.weight';

/** Full name of a layer's tensor in the checkpoint. */
export function layerTensorName(layer: number, role: LayerRole): string {
  return `model.layers.${layer}.${LAYER_TENSOR_NAMES[role]}`;
}

/** A shape, with its reason in terms of config.json's keys. */
export interface ExpectedTensor {
  readonly dims: readonly number[];
  readonly reason: string;
}

/** Lists the tensors of a layer of this configuration, with their shapes. */
export function expectedLayerTensors(config: ModelConfig): ReadonlyMap<LayerRole, ExpectedTensor> {
  const hidden = { size: config.hiddenSize, word: 'hidden_size' };
  const inner = { size: config.intermediateSize, word: 'intermediate_size' };
  const query = {
    size: config.heads * config.headDim,
    word: `${config.heads} heads × head_dim ${config.headDim}`,
  };
  const key = {
    size: config.kvHeads * config.headDim,
    word: `${config.kvHeads} key-value heads × head_dim ${config.headDim}`,
  };
  const head = { size: config.headDim, word: 'head_dim' };
  type Axis = typeof hidden;
  const shape = (...axes: Axis[]): ExpectedTensor => ({
    dims: axes.map((axis) => axis.size),
    reason: axes.map((axis) => axis.word).join(', '),
  });
  const expected = new Map<LayerRole, ExpectedTensor>([
    ['inputNorm', shape(hidden)],
    ['q', shape(query, hidden)],
    ['k', shape(key, hidden)],
    ['v', shape(key, hidden)],
    ['o', shape(hidden, query)],
    ['postNorm', shape(hidden)],
    ['gate', shape(inner, hidden)],
    ['up', shape(inner, hidden)],
    ['down', shape(hidden, inner)],
  ]);
  if (config.attentionBias)
    expected.set('qBias', shape(query)).set('kBias', shape(key)).set('vBias', shape(key));
  if (config.outputBias) expected.set('oBias', shape(hidden));
  if (config.mlpBias)
    expected.set('gateBias', shape(inner)).set('upBias', shape(inner)).set('downBias', shape(hidden));
  if (config.qkNorm) expected.set('qNorm', shape(head)).set('kNorm', shape(head));
  return expected;
}

/** Lists every tensor of the model by its full name, with its shape. */
export function expectedTensors(config: ModelConfig): ReadonlyMap<string, ExpectedTensor> {
  const table: ExpectedTensor = {
    dims: [config.vocabSize, config.hiddenSize],
    reason: 'vocab_size, hidden_size',
  };
  const all = new Map<string, ExpectedTensor>([
    [EMBEDDING_NAME, table],
    [FINAL_NORM_NAME, { dims: [config.hiddenSize], reason: 'hidden_size' }],
  ]);
  if (!config.tiedEmbeddings) all.set(LM_HEAD_NAME, table);
  const perLayer = expectedLayerTensors(config);
  for (let layer = 0; layer < config.layers; layer++) {
    for (const [role, expected] of perLayer) all.set(layerTensorName(layer, role), expected);
  }
  return all;
}
