import type { ModelConfig } from '../model/config.ts';
import { MODEL_FILE } from './write-model.ts';

/** Tokens by id, as a model's files name them. */
export interface SpecialTokens {
  readonly bos: number | null;
  /** Tokens that end a text. */
  readonly ends: readonly number[];
}

/** What it has to know of the model. */
export interface GenaiModel {
  readonly contextLength: number;
  /** Last dimension of keys and values. */
  readonly cacheWidth: number;
  readonly hasMask: boolean;
  /** Name of the file with operators that ONNX Runtime lacks; null where it has all. */
  readonly library: string | null;
}

/** The `genai_config.json` by which onnxruntime-genai finds inputs and outputs, and its greedy search. */
export function genaiConfig(config: ModelConfig, { bos, ends }: SpecialTokens, model: GenaiModel): object {
  const [end = null] = ends;
  return {
    model: {
      type: config.architecture,
      ...(bos !== null && { bos_token_id: bos }),
      ...(end !== null && { eos_token_id: ends.length === 1 ? end : ends, pad_token_id: end }),
      vocab_size: config.vocabSize,
      context_length: model.contextLength,
      decoder: decoderConfig(config, model),
    },
    search: {
      max_length: model.contextLength,
      min_length: 0,
      do_sample: false,
      num_beams: 1,
      num_return_sequences: 1,
      top_k: 1,
      top_p: 1,
      temperature: 1,
      repetition_penalty: 1,
      length_penalty: 1,
      diversity_penalty: 0,
      no_repeat_ngram_size: 0,
      early_stopping: true,
      // GroupQueryAttention writes in place; our operators give a cache that has grown.
      past_present_share_buffer: model.library === null,
    },
  };
}

function decoderConfig(config: ModelConfig, { cacheWidth, hasMask, library }: GenaiModel): object {
  return {
    filename: MODEL_FILE,
    session_options: {
      log_id: 'onnxruntime-genai',
      ...(library !== null && { custom_ops_library: library }),
      provider_options: [],
    },
    head_size: cacheWidth,
    hidden_size: config.hiddenSize,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    num_hidden_layers: config.layers,
    inputs: {
      input_ids: 'input_ids',
      ...(hasMask && { attention_mask: 'attention_mask' }),
      past_key_names: 'past_key_values.%d.key',
      past_value_names: 'past_key_values.%d.value',
    },
    outputs: {
      logits: 'logits',
      present_key_names: 'present.%d.key',
      present_value_names: 'present.%d.value',
    },
  };
}
