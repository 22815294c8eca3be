/**
 * Trains the demo model with the engine's own derivative: node --import tsx scripts/demo/train.ts [STEPS]
 * Writes config.json and model.safetensors (bfloat16) beside the tokenizer in examples/demo/model.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerRole } from '../../src/engine/model/checkpoint.ts';
import { parseModelConfig } from '../../src/engine/model/config.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import {
  EMBEDDING_NAME,
  FINAL_NORM_NAME,
  LAYER_TENSOR_NAMES,
  layerTensorName,
} from '../../src/engine/model/weights.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32ToBfloat16 } from '../../src/formats/float-bits.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { elementCount, float32, type HostTensor, int64 } from '../../src/protocol/tensor.ts';
import { AdamW } from './adamw.ts';
import { generateCorpus } from './corpus.ts';
import { compileTraining, gradientName, layerPrefix, weightShapes } from './transformer.ts';

const MODEL = join(import.meta.dirname, '..', '..', 'examples', 'demo', 'model');
const SEED = 1;
const BATCH = { batch: 16, sequence: 128 };
const PEAK_RATE = 3e-3;
const WARMUP_STEPS = 100;
const CLIP = 1;
const DECAY = 0.1;

const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 128,
  intermediate_size: 384,
  num_hidden_layers: 5,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 1024,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 1,
  torch_dtype: 'bfloat16',
};

/**
 * Large models grow a few residual channels that are far larger than the rest and nearly constant over tokens. They
 * make 4 bits hard. A model trained for minutes has none, so these are planted in the embedding at the start. They are
 * constant over the vocabulary, so they carry no information. Training goes on with them.
 */
const OUTLIERS: ReadonlyMap<number, number> = new Map([
  [17, 10],
  [64, -8],
  [101, 9],
]);

const steps = Number(process.argv[2] ?? 1500);
writeFileSync(join(MODEL, 'config.json'), `${JSON.stringify(CONFIG, null, 2)}\n`);
const config = parseModelConfig('config.json', JSON.stringify(CONFIG));
const runtime = await createRuntime();
console.log(runtime.description);

/** Graph inputs map to checkpoint names. */
const names = new Map<string, string>([
  ['embedding', EMBEDDING_NAME],
  ['finalNorm', FINAL_NORM_NAME],
]);
const roles = Object.keys(LAYER_TENSOR_NAMES) as LayerRole[];
const shapes = weightShapes(config);
for (let layer = 0; layer < config.layers; layer++) {
  for (const role of roles) {
    const name = layerTensorName(layer, role);
    if (shapes.has(name)) names.set(layerPrefix(layer) + role, name);
  }
}

const rng = new Rng(SEED);
const weights: Record<string, HostTensor<Float32Array>> = {};
for (const [input, name] of names) {
  const dims = shapes.get(name)!;
  const isGain = dims.length === 1;
  // Writing projections start smaller, so that the residual does not grow with depth; the embedding starts larger, so
  // that it counts beside the planted channels.
  const deviation =
    input === 'embedding' ? 0.3 : 0.02 * (/\.(o|down)$/.test(input) ? 1 / Math.sqrt(2 * config.layers) : 1);
  const data = Float32Array.from({ length: elementCount(dims) }, () =>
    isGain ? 1 : rng.normal() * deviation,
  );
  if (input === 'embedding') {
    for (const [channel, offset] of OUTLIERS) {
      for (let row = 0; row < config.vocabSize; row++) {
        const at = row * config.hiddenSize + channel;
        data[at] = data[at]! + offset;
      }
    }
  }
  weights[input] = float32(dims, data);
}

const layerTypes = Object.fromEntries(
  [...names.keys()]
    .filter((input) => input.startsWith(layerPrefix(0)))
    .map((input) => [
      input.slice(layerPrefix(0).length),
      { dtype: 'float32' as const, dims: weights[input]!.dims },
    ]),
);
const program = await compileTraining(runtime, config, BATCH, layerTypes);
const { cos, sin } = ropeTables(config, BATCH.sequence);
const tables = {
  cos: float32([BATCH.sequence, config.headDim / 2], cos),
  sin: float32([BATCH.sequence, config.headDim / 2], sin),
};
const optimizers = new Map(
  Object.entries(weights).map(([input, { dims, data }]) => [
    input,
    new AdamW(data, dims.length === 1 ? 0 : DECAY),
  ]),
);

const ids = openTokenizer(MODEL, config.vocabSize).encode(generateCorpus('train'));
console.log(`${ids.length} training tokens`);
const { batch, sequence } = BATCH;

for (let step = 1; step <= steps; step++) {
  const tokens = new BigInt64Array(batch * sequence);
  const labels = new BigInt64Array(batch * sequence);
  for (let row = 0; row < batch; row++) {
    const start = Math.floor(rng.uniform() * (ids.length - sequence - 1));
    for (let i = 0; i < sequence; i++) {
      tokens[row * sequence + i] = BigInt(ids[start + i]!);
      labels[row * sequence + i] = BigInt(ids[start + i + 1]!);
    }
  }
  const out = await program.run({
    ...weights,
    ...tables,
    ids: int64([tokens.length], tokens),
    labels: int64([labels.length], labels),
  });
  let square = 0;
  for (const input of names.keys()) {
    for (const g of out[gradientName(input)]!.data as Float32Array) square += g * g;
  }
  const rate =
    PEAK_RATE * (step < WARMUP_STEPS ? step / WARMUP_STEPS : 0.5 + 0.5 * Math.cos((Math.PI * step) / steps));
  const scale = Math.min(1, CLIP / Math.sqrt(square));
  for (const input of names.keys()) {
    optimizers.get(input)!.step(out[gradientName(input)]!.data as Float32Array, step, rate, scale);
  }
  if (step % 50 === 0 || step === 1)
    console.log(`step ${step}/${steps} loss ${(out.loss!.data[0] as number).toFixed(4)}`);
}

const tensors = Object.entries(weights).map(([input, { dims, data }]): [string, HostTensor] => [
  names.get(input)!,
  { kind: 'host', dtype: 'bfloat16', dims, data: float32ToBfloat16(data) },
]);
await writeSafetensors(join(MODEL, 'model.safetensors'), Object.fromEntries(tensors), { format: 'pt' });
program.release();
runtime.close();
