/** What a GGUF file says of a model, beside its tokenizer: the reverse of `config.ts`. */
import type { GgufValue, WrittenGgufTensor } from '../../../formats/gguf-write.ts';
import { bytesOf } from '../../../formats/tensor-io.ts';
import { UserError } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { ModelConfig } from '../config.ts';
import { yarnMagnitude } from '../config-rope.ts';
import { ropeFrequencies } from '../rope.ts';
import { type GgufArchitecture, ROPE_FACTORS } from './config.ts';

export function ggufArchitecture({ architecture }: Pick<ModelConfig, 'architecture'>): GgufArchitecture {
  return architecture === 'mistral' ? 'llama' : architecture;
}

/** True where llama.cpp turns neighbours of q and k as pairs, and not halves. */
export const interleavesPairs = (config: ModelConfig): boolean => ggufArchitecture(config) === 'llama';

/**
 * Key-value pairs of the sizes of a model.
 * @param fileType llama.cpp's number of the type of most tensors.
 * @throws UserError `export/rope` for a rotary rule that GGUF has no keys for.
 */
export function ggufConfig(config: ModelConfig, name: string, fileType: number): Record<string, GgufValue> {
  const arch = ggufArchitecture(config);
  const key = (suffix: string): string => `${arch}.${suffix}`;
  return {
    'general.architecture': ['text', arch],
    'general.type': ['text', 'model'],
    'general.name': ['text', name],
    'general.file_type': ['u32', fileType],
    'general.quantization_version': ['u32', 2],
    [key('block_count')]: ['u32', config.layers],
    [key('context_length')]: ['u32', config.maxPositions],
    [key('embedding_length')]: ['u32', config.hiddenSize],
    [key('feed_forward_length')]: ['u32', config.intermediateSize],
    [key('attention.head_count')]: ['u32', config.heads],
    [key('attention.head_count_kv')]: ['u32', config.kvHeads],
    [key('attention.key_length')]: ['u32', config.headDim],
    [key('attention.value_length')]: ['u32', config.headDim],
    [key('attention.layer_norm_rms_epsilon')]: ['f32', config.rmsNormEps],
    [key('rope.dimension_count')]: ['u32', config.headDim],
    [key('rope.freq_base')]: ['f32', config.ropeTheta],
    [key('vocab_size')]: ['u32', config.vocabSize],
    ...ropeKeys(config, key('rope.scaling')),
    ...windowKeys(config, key('attention')),
  };
}

function ropeKeys({ ropeScaling: rule }: ModelConfig, prefix: string): Record<string, GgufValue> {
  switch (rule?.type) {
    case undefined:
    case 'llama3':
      return {};
    case 'linear':
      return { [`${prefix}.type`]: ['text', 'linear'], [`${prefix}.factor`]: ['f32', rule.factor] };
    case 'yarn':
      return {
        [`${prefix}.type`]: ['text', 'yarn'],
        [`${prefix}.factor`]: ['f32', rule.factor],
        [`${prefix}.original_context_length`]: ['u32', rule.originalMaxPositions],
        [`${prefix}.attn_factor`]: ['f32', rule.attentionFactor / yarnMagnitude(rule.factor)],
        [`${prefix}.yarn_beta_fast`]: ['f32', rule.betaFast],
        [`${prefix}.yarn_beta_slow`]: ['f32', rule.betaSlow],
      };
    case 'dynamic':
    case 'longrope':
      throw new UserError(
        'export/rope',
        `The rotary embedding of this model is stretched by the rule ${rule.type}, which this export cannot write in GGUF.`,
        'Choose --format huggingface, or a model with another rule.',
      );
  }
}

function windowKeys({ slidingWindow, layerWindows }: ModelConfig, prefix: string): Record<string, GgufValue> {
  if (slidingWindow === null) return {};
  return {
    [`${prefix}.sliding_window`]: ['u32', slidingWindow],
    [`${prefix}.sliding_window_pattern`]: ['flag', layerWindows.map((window) => window !== null)],
  };
}

/** The rule of Llama 3 is a tensor of divisors of the frequencies. */
export function ropeFactors(config: ModelConfig): Record<string, WrittenGgufTensor> {
  if (config.ropeScaling?.type !== 'llama3') return {};
  const plain = ropeFrequencies({ ...config, ropeScaling: null });
  const scaled = ropeFrequencies(config);
  const factors = Float32Array.from(plain, (frequency, j) => frequency / scaled[j]!);
  const load = async (): Promise<Uint8Array> => bytesOf(float32([factors.length], factors));
  return { [ROPE_FACTORS]: { type: 'F32', dims: [factors.length], load } };
}
