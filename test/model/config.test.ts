import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { parseModelConfig, readModelConfig } from '../../src/engine/model/config.ts';
import { rejectsWith } from '../formats/support.ts';
import { goldenFolder } from './goldens.ts';

const NONE = [null, null];

const EXPECTED: Record<string, Partial<ModelConfig>> = {
  llama: {
    architecture: 'llama',
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    attentionBias: false,
    layerWindows: NONE,
  },
  'llama3-scaled-tied': {
    hiddenSize: 48,
    intermediateSize: 80,
    tiedEmbeddings: true,
    ropeTheta: 1000,
    ropeScaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
  },
  'llama-biases-linear': {
    attentionBias: true,
    outputBias: true,
    mlpBias: true,
    kvHeads: 4,
    ropeScaling: { type: 'linear', factor: 4 },
  },
  'mistral-window-sharded': { architecture: 'mistral', headDim: 8, slidingWindow: 7, layerWindows: [7, 7] },
  qwen2: {
    architecture: 'qwen2',
    attentionBias: true,
    outputBias: false,
    qkNorm: false,
    slidingWindow: null,
  },
  'qwen2-window': { slidingWindow: 5, layerWindows: [null, 5], tiedEmbeddings: true },
  qwen3: { architecture: 'qwen3', headDim: 16, qkNorm: true, attentionBias: false, ropeTheta: 1e6 },
};

for (const [name, expected] of Object.entries(EXPECTED)) {
  test(`configuration of ${name}`, () => {
    const config = readModelConfig(goldenFolder(name));
    for (const [key, value] of Object.entries(expected))
      assert.deepEqual(config[key as keyof ModelConfig], value, key);
    assert.deepEqual(
      [config.layers, config.vocabSize, config.maxPositions, config.rmsNormEps],
      [2, 64, 256, 1e-5],
    );
  });
}

const BASE = {
  architectures: ['LlamaForCausalLM'],
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  vocab_size: 64,
};

function parse(changes: Record<string, unknown>): ModelConfig {
  return parseModelConfig('config.json', JSON.stringify({ ...BASE, ...changes }));
}

test('a silent LLaMA configuration means the defaults of transformers', () => {
  assert.deepEqual(parse({}), {
    architecture: 'llama',
    hiddenSize: 32,
    intermediateSize: 48,
    layers: 3,
    heads: 4,
    kvHeads: 4,
    headDim: 8,
    vocabSize: 64,
    maxPositions: 2048,
    rmsNormEps: 1e-6,
    ropeTheta: 10000,
    ropeScaling: null,
    slidingWindow: null,
    layerWindows: [null, null, null],
    attentionBias: false,
    outputBias: false,
    mlpBias: false,
    qkNorm: false,
    tiedEmbeddings: false,
  });
});

test('silent configurations of the other architectures', () => {
  const heads = { num_attention_heads: 32, hidden_size: 256 };
  const mistral = parse({ architectures: ['MistralForCausalLM'], ...heads });
  assert.deepEqual([mistral.kvHeads, mistral.slidingWindow, mistral.maxPositions], [8, 4096, 131072]);
  assert.equal(
    parse({ architectures: ['MistralForCausalLM'], ...heads, sliding_window: null }).slidingWindow,
    null,
  );
  const qwen2 = parse({
    architectures: ['Qwen2ForCausalLM'],
    ...heads,
    sliding_window: 16,
    use_sliding_window: false,
  });
  assert.deepEqual([qwen2.kvHeads, qwen2.headDim, qwen2.slidingWindow], [32, 8, null]);
  assert.equal(parse({ architectures: ['Qwen3ForCausalLM'], ...heads }).headDim, 128);
  assert.equal(parse({ architectures: ['Qwen2ForCausalLM'], num_key_value_heads: null }).kvHeads, 4);
  assert.equal(parse({ architectures: undefined, model_type: 'qwen3', ...heads }).architecture, 'qwen3');
});

test('the model type decides, whatever wrapped the model when it was saved', () => {
  for (const name of ['FSDPLlamaForCausalLM', 'LLaMAForCausalLM', 'PeftModelForCausalLM', 'LlamaModel'])
    assert.equal(parse({ architectures: [name], model_type: 'llama' }).architecture, 'llama', name);
  const other = parse({ architectures: ['LlamaForCausalLM'], model_type: 'mistral', num_key_value_heads: 2 });
  assert.equal(other.architecture, 'mistral');
  for (const name of ['FSDPLlamaForCausalLM', 'LLaMAForCausalLM', 'LlamaModel'])
    assert.equal(parse({ architectures: [name] }).architecture, 'llama', `${name} without a type`);
});

test('the numbers of Python that are not JSON are read where nothing finite is needed', async () => {
  const text = (values: string) => `\ufeff${JSON.stringify(BASE).slice(0, -1)}, ${values}}`;
  const config = parseModelConfig(
    'c.json',
    text('"unused": NaN, "list": [-Infinity, Infinity], "words": "NaN, \\"-Infinity"'),
  );
  assert.equal(config.hiddenSize, 32);
  await rejectsWith(
    () => parseModelConfig('c.json', text('"rope_theta": Infinity')),
    'model/config-value',
    /rope_theta is Infinity; it must be a number above 0/,
  );
  await rejectsWith(
    () => parseModelConfig('c.json', text('"max_position_embeddings": NaN')),
    'model/config-value',
    /max_position_embeddings is NaN; it must be a whole number/,
  );
});

test('both spellings of the rotary settings', () => {
  const scaling = {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const old = parse({ rope_theta: 5e5, rope_scaling: { rope_type: 'llama3', ...scaling } });
  const current = parse({ rope_parameters: { rope_theta: 5e5, rope_type: 'llama3', ...scaling } });
  assert.deepEqual(old, current);
  assert.deepEqual(old.ropeScaling, {
    type: 'llama3',
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositions: 8192,
  });
  assert.deepEqual(parse({ rope_scaling: { type: 'linear', factor: 2 } }).ropeScaling, {
    type: 'linear',
    factor: 2,
  });
  assert.deepEqual(parse({ rope_theta: 1e6, rope_scaling: null }).ropeTheta, 1e6);
});

test('Qwen windows by layer_types, or from max_window_layers on', () => {
  const qwen = {
    architectures: ['Qwen2ForCausalLM'],
    num_key_value_heads: 2,
    use_sliding_window: true,
    sliding_window: 9,
  };
  assert.deepEqual(parse({ ...qwen, max_window_layers: 2 }).layerWindows, [null, null, 9]);
  assert.deepEqual(parse({ ...qwen, max_window_layers: 0 }).layerWindows, [9, 9, 9]);
  assert.equal(parse({ ...qwen, max_window_layers: 28 }).slidingWindow, null);
  const layer_types = ['sliding_attention', 'full_attention', 'full_attention'];
  assert.deepEqual(parse({ ...qwen, layer_types }).layerWindows, [9, null, null]);
});

const FAULTS: [name: string, changes: Record<string, unknown>, code: string, message: RegExp][] = [
  [
    'an architecture',
    { architectures: ['GPT2LMHeadModel'] },
    'architecture',
    /GPT2LMHeadModel is not supported; supported are llama, mistral, qwen2, qwen3/,
  ],
  ['a name from the prototype', { architectures: ['constructor'] }, 'architecture', /constructor/],
  ['no architecture', { architectures: undefined }, 'architecture', /neither model_type nor architectures/],
  ['a model type', { model_type: 'gpt2' }, 'architecture', /model_type "gpt2" is not supported/],
  [
    'a wrapper without a model type',
    { architectures: ['PeftModelForCausalLM'] },
    'architecture',
    /PeftModel/,
  ],
  ['an activation', { hidden_act: 'gelu' }, 'activation', /hidden_act is "gelu"; only "silu"/],
  [
    'a rope type',
    { rope_scaling: { rope_type: 'su', factor: 4 } },
    'rope',
    /"su".*"linear", "dynamic", "yarn"/,
  ],
  ['a partial rope', { partial_rotary_factor: 0.5 }, 'rope', /partial_rotary_factor is 0.5/],
  ['a missing size', { hidden_size: undefined }, 'config-value', /config\.json: hidden_size is missing/],
  [
    'a fraction',
    { num_hidden_layers: 2.5 },
    'config-value',
    /num_hidden_layers is 2.5; it must be a whole number/,
  ],
  [
    'more layers than any model has',
    { num_hidden_layers: 1e9 },
    'config-value',
    /num_hidden_layers is 1000000000; it must be a whole number from 1 to 10000/,
  ],
  [
    'rotary settings for each kind of layer',
    { rope_parameters: { full_attention: { rope_theta: 1e4 } } },
    'rope',
    /full_attention/,
  ],
  [
    'LongRoPE with too few factors',
    { rope_scaling: { type: 'longrope', short_factor: [1, 1], long_factor: [1, 1] } },
    'config-value',
    /short_factor is \[1,1\]; it must be a list of 4 numbers above 0/,
  ],
  ['a negative size', { vocab_size: -1 }, 'config-value', /vocab_size is -1/],
  [
    'text for a number',
    { rms_norm_eps: '1e-5' },
    'config-value',
    /rms_norm_eps is "1e-5"; it must be a number above 0/,
  ],
  [
    'a number for a flag',
    { tie_word_embeddings: 1 },
    'config-value',
    /tie_word_embeddings is 1; it must be true or false/,
  ],
  [
    'a missing factor',
    { rope_scaling: { type: 'linear' } },
    'config-value',
    /rope_scaling: factor is missing/,
  ],
  [
    'a width that heads do not divide',
    { num_attention_heads: 5 },
    'heads',
    /hidden_size 32 is not a multiple/,
  ],
  [
    'groups of unequal size',
    { num_key_value_heads: 3 },
    'heads',
    /4 is not a multiple of num_key_value_heads 3/,
  ],
  ['an odd head', { head_dim: 7 }, 'heads', /head_dim is 7/],
];

for (const [name, changes, code, message] of FAULTS) {
  test(`refused: ${name}`, () => rejectsWith(() => parse(changes), `model/${code}`, message));
}

test('refused: layer_types of the wrong length', () =>
  rejectsWith(
    () =>
      parse({
        architectures: ['Qwen2ForCausalLM'],
        num_key_value_heads: 2,
        use_sliding_window: true,
        layer_types: ['full_attention'],
      }),
    'model/config-value',
    /layer_types.*3 entries/,
  ));

test('refused: no folder, no JSON, no object', async () => {
  await rejectsWith(
    () => readModelConfig('nowhere'),
    'model/no-config',
    /nowhere is not a Hugging Face model folder/,
  );
  await rejectsWith(() => parseModelConfig('c.json', '{'), 'model/json', /c\.json is not valid JSON/);
  await rejectsWith(() => parseModelConfig('c.json', '[]'), 'model/json', /not a JSON object/);
});

test('the goldens were written in the newer spelling, so both are read', () => {
  const text = readFileSync(join(goldenFolder('llama3-scaled-tied'), 'config.json'), 'utf8');
  assert.match(text, /"rope_parameters"/);
});
