import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { scanForNonFinite } from '../../src/engine/model/scan.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { copyGolden, editJson, GOLDEN_NAMES, goldenFolder } from './goldens.ts';

/** The optional weights that each golden must have. */
const OPTIONAL: Record<(typeof GOLDEN_NAMES)[number], string[]> = {
  llama: [],
  'llama3-scaled-tied': [],
  'llama-biases-linear': ['qBias', 'kBias', 'vBias', 'oBias', 'gateBias', 'upBias', 'downBias'],
  'mistral-window-sharded': [],
  qwen2: ['qBias', 'kBias', 'vBias'],
  'qwen2-window': ['qBias', 'kBias', 'vBias'],
  qwen3: ['qNorm', 'kNorm'],
};

const ALWAYS = ['inputNorm', 'q', 'k', 'v', 'o', 'postNorm', 'gate', 'up', 'down'];

for (const name of GOLDEN_NAMES) {
  test(`opens ${name}`, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    const { config } = checkpoint;
    for (let i = 0; i < config.layers; i++) {
      const layer = checkpoint.layer(i);
      assert.deepEqual(Object.keys(layer).sort(), [...ALWAYS, ...OPTIONAL[name]].sort());
      assert.deepEqual(layer.k.dims, [config.kvHeads * config.headDim, config.hiddenSize]);
      assert.deepEqual(layer.down.dims, [config.hiddenSize, config.intermediateSize]);
      assert.equal(layer.q, checkpoint.tensor(`model.layers.${i}.self_attn.q_proj.weight`));
    }
    assert.deepEqual(checkpoint.lmHead.dims, [config.vocabSize, config.hiddenSize]);
    assert.equal(checkpoint.lmHead === checkpoint.embedding, checkpoint.tiedEmbeddings);
    assert.equal(
      checkpoint.tiedEmbeddings,
      name.endsWith('tied') || name === 'qwen2-window' || name === 'qwen3',
    );
    const bytes = [...checkpoint.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0);
    assert.equal(checkpoint.sizeBytes, bytes);
    await scanForNonFinite(checkpoint);
  });
}

test('the goldens cover every weight dtype and several files', async () => {
  const all = await Promise.all(GOLDEN_NAMES.map((name) => openCheckpoint(goldenFolder(name))));
  const dtypes = new Set(all.flatMap(({ tensors }) => [...tensors.values()].map(({ dtype }) => dtype)));
  assert.deepEqual([...dtypes].sort(), ['bfloat16', 'float16', 'float32']);
  const sharded = all[GOLDEN_NAMES.indexOf('mistral-window-sharded')]!;
  assert.equal(new Set([...sharded.tensors.values()].map(({ path }) => path)).size, 3);
});

test('the hash follows configuration and weights, not the place', async (t) => {
  const dir = copyGolden(t, 'qwen3');
  const original = await (await openCheckpoint(goldenFolder('qwen3'))).hash();
  assert.match(original, /^[0-9a-f]{64}$/);
  assert.equal(await (await openCheckpoint(dir)).hash(), original);
  const path = join(dir, 'model.safetensors');
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.at(-1)! ^ 1, bytes.length - 1);
  writeFileSync(path, bytes);
  const changed = await (await openCheckpoint(dir)).hash();
  assert.notEqual(changed, original);
  editJson(join(dir, 'config.json'), { rms_norm_eps: 1e-6 });
  assert.notEqual(await (await openCheckpoint(dir)).hash(), changed);
});

test('no such layer or tensor is a bug of the caller', async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  assert.throws(() => checkpoint.layer(2), RangeError);
  assert.throws(() => checkpoint.tensor('model.layers.0.self_attn.q_proj.bias'), RangeError);
});

/** Writes the tensors of a golden again after a change. */
async function rewrite(dir: string, change: (tensors: Record<string, HostTensor>) => void): Promise<void> {
  const path = join(dir, 'model.safetensors');
  const read = [...readSafetensorsHeader(path).tensors].map(
    ([name, file]) => [name, readTensor(file)] as const,
  );
  const tensors: Record<string, HostTensor> = Object.fromEntries(read);
  change(tensors);
  await writeSafetensors(path, tensors);
}

type Tensors = Record<string, HostTensor>;
const Q0 = 'model.layers.0.self_attn.q_proj.weight';

const WEIGHT_FAULTS: [name: string, change: (tensors: Tensors) => void, code: string, message: RegExp][] = [
  [
    'missing tensors',
    (x) => {
      delete x[Q0];
      delete x['model.norm.weight'];
    },
    'missing-tensor',
    /lacks 2 tensors.*model\.norm\.weight, model\.layers\.0\.self_attn\.q_proj\.weight\./,
  ],
  [
    'an untied head that is not there',
    (x) => delete x['lm_head.weight'],
    'missing-tensor',
    /lm_head\.weight/,
  ],
  [
    'a transposed tensor',
    (x) => {
      const gate = 'model.layers.1.mlp.gate_proj.weight';
      x[gate] = { ...x[gate]!, dims: [32, 48] };
    },
    'tensor-shape',
    /model\.safetensors: model\.layers\.1\.mlp\.gate_proj\.weight has shape \[32, 48\]; .* \[48, 32\] \(intermediate_size, hidden_size\)/,
  ],
  [
    'integers',
    (x) => {
      x[Q0] = { kind: 'host', dtype: 'int8', dims: [32, 32], data: new Int8Array(1024) };
    },
    'tensor-dtype',
    /q_proj\.weight is int8; supported are float32/,
  ],
  [
    'a bias that the configuration does not know',
    (x) => {
      x['model.layers.0.self_attn.q_proj.bias'] = x['model.norm.weight']!;
    },
    'unexpected-tensor',
    /q_proj\.bias, which config\.json/,
  ],
  [
    'a layer too many',
    (x) => {
      x['model.layers.2.mlp.up_proj.weight'] = x['model.norm.weight']!;
    },
    'unexpected-tensor',
    /model\.layers\.2/,
  ],
];

for (const [name, change, code, message] of WEIGHT_FAULTS) {
  test(`refused: ${name}`, async (t) => {
    const dir = copyGolden(t, 'llama');
    await rewrite(dir, (tensors) => void change(tensors));
    await rejectsWith(() => openCheckpoint(dir), `model/${code}`, message);
  });
}

test('tensors that change nothing are ignored', async (t) => {
  const dir = copyGolden(t, 'llama');
  await rewrite(dir, (x) => {
    x['model.layers.0.self_attn.rotary_emb.inv_freq'] = x['model.norm.weight']!;
  });
  const checkpoint = await openCheckpoint(dir);
  assert.ok(!checkpoint.tensors.has('model.layers.0.self_attn.rotary_emb.inv_freq'));
});

const INDEX = 'model.safetensors.index.json';
const SHARD = 'model-00002-of-00003.safetensors';

const INDEX_FAULTS: [name: string, damage: (dir: string) => void, code: string, message: RegExp][] = [
  ['a missing shard', (dir) => rmSync(join(dir, SHARD)), 'missing-shard', /1 are missing: model-00002/],
  [
    'shards of another export',
    (dir) => renameSync(join(dir, 'model-00001-of-00003.safetensors'), join(dir, SHARD)),
    'missing-shard',
    /model-00001/,
  ],
  [
    'a tensor in another shard',
    (dir) => editWeightMap(dir, { 'lm_head.weight': SHARD, 'model.norm.weight': SHARD }),
    'missing-tensor',
    /model-00002-of-00003\.safetensors lacks tensor/,
  ],
  [
    'a path out of the folder',
    (dir) => editWeightMap(dir, { [Q0]: '../x.safetensors' }),
    'index',
    /"\.\.\/x\.safetensors"/,
  ],
  ['an index without a map', (dir) => writeFileSync(join(dir, INDEX), '{}'), 'index', /no weight_map/],
  ['an index that is no JSON', (dir) => writeFileSync(join(dir, INDEX), '{'), 'index', /not valid JSON/],
  ['no weights at all', (dir) => rmSync(join(dir, INDEX)), 'no-weights', /neither model\.safetensors nor/],
];

function editWeightMap(dir: string, changes: Record<string, string>): void {
  const path = join(dir, INDEX);
  const { weight_map } = JSON.parse(readFileSync(path, 'utf8')) as { weight_map: Record<string, string> };
  editJson(path, { weight_map: { ...weight_map, ...changes } });
}

for (const [name, damage, code, message] of INDEX_FAULTS) {
  test(`refused: ${name}`, async (t) => {
    const dir = copyGolden(t, 'mistral-window-sharded');
    damage(dir);
    await rejectsWith(() => openCheckpoint(dir), `model/${code}`, message);
  });
}

test('refused: a folder with weights of another format says which', async (t) => {
  const dir = temporaryFolder(t);
  writeFileSync(join(dir, 'config.json'), readFileSync(join(goldenFolder('llama'), 'config.json')));
  writeFileSync(join(dir, 'pytorch_model.bin'), '');
  await rejectsWith(() => openCheckpoint(dir), 'model/no-weights', /found pytorch_model\.bin/);
});

/** Name, place in the flat array, bits, and the index that the message must give. */
const NON_FINITE: [golden: string, tensor: string, flat: number, bits: number, index: string][] = [
  ['llama', 'model.layers.1.mlp.down_proj.weight', 5 * 48 + 47, 0x7fc00000, '5, 47'],
  ['llama', 'model.norm.weight', 31, 0xff800000, '31'],
  ['qwen3', 'model.embed_tokens.weight', 33, 0x7f80, '1, 1'],
];

for (const [golden, name, flat, bits, index] of NON_FINITE) {
  test(`a value that is not finite is found: ${golden}, ${name}`, async (t) => {
    const dir = copyGolden(t, golden);
    await rewrite(dir, (tensors) => {
      const { data } = tensors[name]!;
      const words = data instanceof Float32Array ? new Uint32Array(data.buffer) : data;
      words[flat] = bits;
    });
    const checkpoint = await openCheckpoint(dir);
    const message = new RegExp(`model\\.safetensors: ${name.replaceAll('.', '\\.')} .*\\[${index}\\]`);
    await rejectsWith(() => scanForNonFinite(checkpoint), 'model/non-finite', message);
  });
}

test('a float64 weight is scanned too', async (t) => {
  const dir = copyGolden(t, 'llama');
  const gains = Float64Array.from({ length: 32 }, (_, i) => (i === 3 ? NaN : 1e300));
  await rewrite(dir, (tensors) => {
    tensors['model.norm.weight'] = { kind: 'host', dtype: 'float64', dims: [32], data: gains };
  });
  const checkpoint = await openCheckpoint(dir);
  await rejectsWith(() => scanForNonFinite(checkpoint), 'model/non-finite', /model\.norm\.weight.*\[3\]/);
});

test('the largest finite values pass; a fired signal stops the scan', async (t) => {
  const dir = copyGolden(t, 'llama');
  await rewrite(dir, (tensors) => {
    new Uint32Array(tensors[Q0]!.data.buffer).fill(0x7f7fffff);
  });
  const checkpoint = await openCheckpoint(dir);
  await scanForNonFinite(checkpoint);
  await assert.rejects(scanForNonFinite(checkpoint, AbortSignal.abort()), Cancelled);
});
