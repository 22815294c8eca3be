/** What config.json and file names claim, against what the tensors are. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { canonicalNames } from '../../src/engine/model/tensor-names.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTensor, toFloat32 } from '../../src/formats/tensor-io.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { rejectsWith } from '../formats/support.ts';
import { copyGolden, editJson, goldenFolder } from './goldens.ts';

type Tensors = Record<string, HostTensor>;
const HEAD = 'lm_head.weight';
const EMBEDDING = 'model.embed_tokens.weight';
const Q0 = 'model.layers.0.self_attn.q_proj.weight';

interface Change {
  readonly golden?: string;
  readonly config?: Record<string, unknown>;
  readonly tensors?: (tensors: Tensors) => Tensors;
}

/** A copy of a golden model with other keys in config.json, and other tensors. */
async function changed(t: TestContext, { golden = 'llama', config = {}, tensors }: Change): Promise<string> {
  const dir = copyGolden(t, golden);
  editJson(join(dir, 'config.json'), config);
  if (!tensors) return dir;
  const path = join(dir, 'model.safetensors');
  const read = [...readSafetensorsHeader(path).tensors].map(([name, file]) => [name, readTensor(file)]);
  const before = Object.fromEntries(read) as Tensors;
  await writeSafetensors(path, tensors(before));
  return dir;
}

/** Gives tensors of a file, byte for byte, a dtype that the writer does not know. */
function relabel(dir: string, names: RegExp, dtype: string): void {
  const path = join(dir, 'model.safetensors');
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, { dtype: string }>;
  for (const [name, entry] of Object.entries(header)) if (names.test(name)) entry.dtype = dtype;
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([size, text, bytes.subarray(8 + length)]));
}

const renamed =
  (rename: (name: string) => string) =>
  (tensors: Tensors): Tensors =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [rename(name), tensor]));

const PREFIXES: Readonly<Record<string, (name: string) => string>> = {
  'model.': (name) => `model.${name}`,
  'module.': (name) => `module.${name}`,
  'base_model.model.': (name) => `base_model.model.${name}`,
  'language_model.': (name) => `language_model.${name}`,
  '_orig_mod.': (name) => `_orig_mod.${name}`,
  'wrappers of layers': (name) => name.replace(/(layers\.\d+\.)/, '$1_fsdp_wrapped_module._orig_mod.'),
  'none, as LlamaModel has': (name) => name.replace(/^model\./, ''),
  'that of transformers 5, with the head at the top': (name) =>
    name.replace(/^model\./, 'model.language_model.'),
};

for (const [title, rename] of Object.entries(PREFIXES))
  test(`tensors under another prefix are found: ${title}`, async (t) => {
    const dir = await changed(t, { tensors: renamed(rename) });
    const [found, original] = [await openCheckpoint(dir), await openCheckpoint(goldenFolder('llama'))];
    assert.deepEqual([...found.tensors.keys()], [...original.tensors.keys()]);
    for (const [name, tensor] of original.tensors)
      assert.deepEqual(readTensor(found.tensor(name)), readTensor(tensor), name);
    assert.deepEqual(found.warnings, []);
  });

test('a tied model without a prefix needs no head', async (t) => {
  const dir = await changed(t, { golden: 'qwen3', tensors: renamed((name) => name.replace(/^model\./, '')) });
  assert.equal((await openCheckpoint(dir)).tiedEmbeddings, true);
});

test('two models in a file are not mixed', () => {
  const names = ['embed_tokens.weight', 'norm.weight', 'layers.0.input_layernorm.weight'];
  const two = ['student.', 'teacher.'].flatMap((prefix) => names.map((name) => prefix + name));
  assert.deepEqual([...canonicalNames(two).values()], two);
  const collide = [...names.map((name) => `a.${name}`), 'model.norm.weight'];
  assert.deepEqual([...canonicalNames(collide).values()], collide);
});

test('where no mapping is plain, the names are listed that are there', async (t) => {
  const dir = await changed(t, { tensors: renamed((name) => name.replace('self_attn', 'attention')) });
  await rejectsWith(
    () => openCheckpoint(dir),
    'model/missing-tensor',
    /lacks 8 tensors.*q_proj.* and 3 more\. .*besides what is needed, .*layers\.0\.attention\.k_proj\.weight/,
  );
});

test('an adapter that is not merged is told', async (t) => {
  const dir = await changed(t, {
    tensors: renamed((name) => name.replace('q_proj.weight', 'q_proj.base_layer.weight')),
  });
  await assert.rejects(openCheckpoint(dir), { hint: /merge_and_unload/ });
});

for (const dtype of ['U16', 'F8_E4M3', 'F99_OF_TOMORROW'])
  test(`a tensor of ${dtype} that the model does not need is not judged`, async (t) => {
    const dir = await changed(t, {
      tensors: (x) => ({
        ...x,
        'model.layers.0.self_attn.rotary_emb.inv_freq': float32([4], new Float32Array(4)),
        'model.layers.0.self_attn.masked_bias': float32([], new Float32Array(1)),
      }),
    });
    relabel(dir, /inv_freq|masked_bias/, dtype);
    assert.deepEqual((await openCheckpoint(dir)).warnings, []);
    relabel(dir, /0\.self_attn\.q_proj/, dtype);
    await rejectsWith(
      () => openCheckpoint(dir),
      'safetensors/dtype',
      new RegExp(`${Q0.replaceAll('.', '\\.')} has dtype "${dtype}"`),
    );
  });

const BITSANDBYTES = { quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } };

test('a stale quantization_config is a warning', async (t) => {
  const { warnings } = await openCheckpoint(await changed(t, { config: BITSANDBYTES }));
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['model/stale-quantization'],
  );
  assert.match(warnings[0]!.message, /config\.json has a quantization_config \(bitsandbytes\)/);
});

const codes = (dims: number[]): HostTensor => ({
  kind: 'host',
  dtype: 'uint8',
  dims,
  data: new Uint8Array(dims.reduce((a, b) => a * b)),
});

const QUANTIZED: [name: string, change: Change, message: RegExp, hint: RegExp][] = [
  [
    'bitsandbytes',
    { config: BITSANDBYTES, tensors: (x) => ({ ...x, [Q0]: codes([512, 1]) }) },
    /q_proj\.weight is uint8 \[512, 1\] \(quantization_config of .*: bitsandbytes\)/,
    /dequantize/,
  ],
  [
    'GPTQ',
    {
      config: { quantization_config: { quant_method: 'gptq', bits: 4 } },
      tensors: ({ [Q0]: _, ...x }) => ({ ...x, 'model.layers.0.self_attn.q_proj.qweight': codes([4, 32]) }),
    },
    /q_proj\.qweight is uint8 \[4, 32\] \(.*: gptq, bits 4\)/,
    /full-precision/,
  ],
  [
    'scales beside a float weight, and nothing in config.json',
    {
      tensors: (x) => ({ ...x, 'model.layers.0.mlp.up_proj.weight_scale': float32([1], Float32Array.of(2)) }),
    },
    /up_proj\.weight_scale is float32 \[1\]\./,
    /full-precision/,
  ],
];

for (const [name, change, message, hint] of QUANTIZED)
  test(`weights that are quantized are refused: ${name}`, async (t) => {
    const dir = await changed(t, change);
    await rejectsWith(() => openCheckpoint(dir), 'model/quantized', message);
    await assert.rejects(openCheckpoint(dir), { hint });
  });

test('a head of its own beside tied embeddings is kept, and told', async (t) => {
  const dir = await changed(t, { config: { tie_word_embeddings: true } });
  const { config, lmHead, tiedEmbeddings, warnings, tensors } = await openCheckpoint(dir);
  assert.equal(tiedEmbeddings || config.tiedEmbeddings, false);
  assert.equal(lmHead, tensors.get(HEAD));
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['model/own-head'],
  );
});

test('a head that differs in its last value only is its own; an equal one of another dtype stays tied', async (t) => {
  const tied = { config: { tie_word_embeddings: true } };
  const last = await changed(t, {
    ...tied,
    tensors: (x) => {
      const values = toFloat32(x[EMBEDDING]!).slice();
      values[values.length - 1]! += 1;
      return { ...x, [HEAD]: float32(x[EMBEDDING]!.dims, values) };
    },
  });
  const { warnings } = await openCheckpoint(last);
  assert.match(warnings[0]!.message, /differs from model\.embed_tokens\.weight \(first in row 63\)/);
  const equal = await changed(t, {
    ...tied,
    tensors: (x) => {
      const data = Float64Array.from(toFloat32(x[EMBEDDING]!));
      return { ...x, [HEAD]: { kind: 'host', dtype: 'float64', dims: x[EMBEDDING]!.dims, data } };
    },
  });
  const checkpoint = await openCheckpoint(equal);
  assert.deepEqual([checkpoint.tiedEmbeddings, checkpoint.warnings], [true, []]);
});

test('a head of another shape beside tied embeddings is refused', async (t) => {
  const dir = await changed(t, {
    config: { tie_word_embeddings: true },
    tensors: (x) => ({ ...x, [HEAD]: float32([2, 32], new Float32Array(64)) }),
  });
  await rejectsWith(() => openCheckpoint(dir), 'model/tensor-shape', /lm_head\.weight has shape \[2, 32\]/);
});

const SIZES: [config: Record<string, number | undefined>, code: string, message: RegExp][] = [
  [{ num_hidden_layers: 10_000 }, 'layers', /is 10000, but the files of .* hold the layers 0 to 1\./],
  [{ num_hidden_layers: 1e6 }, 'config-value', /1000000; it must be a whole number from 1 to 10000/],
  [{ num_hidden_layers: 1e15 }, 'config-value', /must be a whole number/],
  [
    { vocab_size: 1e15 },
    'tensor-shape',
    /embed_tokens\.weight has shape \[64, 32\].*\[1000000000000000, 32\]/,
  ],
  [{ hidden_size: 2 ** 24 }, 'tensor-shape', /\[64, 16777216\]/],
  [{ hidden_size: 4e14 }, 'config-value', /hidden_size is 400000000000000; .* from 1 to 16777216/],
  [
    { intermediate_size: 1e15 },
    'config-value',
    /intermediate_size is 1000000000000000; .* from 1 to 16777216/,
  ],
  [
    { num_attention_heads: 1e6, num_key_value_heads: 1e6, head_dim: undefined },
    'heads',
    /not a multiple of num_attention_heads/,
  ],
  [{ num_attention_heads: 1e6, num_key_value_heads: 1e6, head_dim: 8 }, 'tensor-shape', /\[8000000, 32\]/],
  [{ num_attention_heads: 1e9 }, 'config-value', /num_attention_heads is 1000000000; .* to 16777216/],
];

for (const [config, code, message] of SIZES)
  test(`sizes that the files deny are refused before anything is made of them: ${JSON.stringify(config)}`, async (t) => {
    const dir = await changed(t, { config });
    const before = process.memoryUsage().rss;
    const began = performance.now();
    await rejectsWith(() => openCheckpoint(dir), `model/${code}`, message);
    assert.ok(performance.now() - began < 2000 && process.memoryUsage().rss - before < 1e8);
  });
