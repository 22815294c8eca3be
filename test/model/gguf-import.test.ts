/** Golden models written as GGUF files and imported again: the same weights, the same configuration, the same logits. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { bfloat16ToFloat32, float32ToBfloat16 } from '../../src/formats/float-bits.ts';
import { readTensor, toFloat32 } from '../../src/formats/tensor-io.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { ggufOf, imported, interleaveRows, readJson } from './gguf-models.ts';
import type { TypedValue } from './gguf-writer.ts';
import { randomBlocks } from './gguf-writer.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from './goldens.ts';

for (const name of GOLDEN_NAMES) {
  test(`${name}: weights bit for bit, configuration, logits`, async (t) => {
    const source = await openCheckpoint(goldenFolder(name));
    const result = await openCheckpoint(await imported(t, ggufOf(source)));
    assert.deepEqual(result.config, source.config);
    assert.deepEqual([...result.tensors.keys()].sort(), [...source.tensors.keys()].sort());
    for (const [tensor, file] of source.tensors)
      assert.deepEqual(readTensor(result.tensor(tensor)), readTensor(file), tensor);
    const golden = readGolden(name);
    const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
    const cache = new ProgramCache(runtime);
    const network = new Network(cache, result, {
      mode: 'plain',
      maps: NO_MAPS,
      quantizers: FULL_PRECISION,
      centreEmbedding: false,
    });
    const logits = await sequenceLogits(network, Int32Array.from(golden.ids));
    const expected = golden.logits.flat();
    const largest = logits.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
    // Other sums in another order than transformers' own float32 pass, which differs by this much.
    assert.ok(largest <= 4 * golden.float32MaxDifference, `logits differ by ${largest}`);
    await cache.release();
    runtime.close();
  });
}

test('interleaved rows left as they are would be another model', async () => {
  const source = await openCheckpoint(goldenFolder('llama'));
  const { q } = source.layer(0);
  const bytes = new Uint8Array(readTensor(q).data.buffer);
  assert.notDeepEqual(interleaveRows(bytes, 4, 8, 4 * 32), bytes);
});

for (const dtype of ['float32', 'bfloat16'] as const) {
  test(`quantized tensors become ${dtype}, all others keep their bits`, async (t) => {
    const source = await openCheckpoint(goldenFolder('llama'));
    const contents = ggufOf(source);
    const { headDim, heads, kvHeads } = source.config;
    const blocks = {
      q: randomBlocks('Q8_0', [heads * headDim, 32], 1),
      k: randomBlocks('Q4_0', [kvHeads * headDim, 32], 2),
      v: randomBlocks('Q4_1', [kvHeads * headDim, 32], 3),
    };
    const tensors = { ...contents.tensors };
    for (const [role, { tensor }] of Object.entries(blocks)) tensors[`blk.1.attn_${role}.weight`] = tensor;
    const dir = await imported(t, { ...contents, tensors }, { dtype });
    const layer = (await openCheckpoint(dir)).layer(1);
    const rounded = (values: readonly number[]): Float32Array => {
      const exact = Float32Array.from(values);
      return dtype === 'float32' ? exact : bfloat16ToFloat32(float32ToBfloat16(exact));
    };
    for (const role of ['q', 'k', 'v'] as const) {
      assert.equal(layer[role].dtype, dtype);
      const found = toFloat32(layer[role]);
      const width = 4 * 32;
      const count = role === 'q' ? heads : kvHeads;
      // Interleaving what was imported must give the file's rows again.
      const rows =
        role === 'v'
          ? found
          : new Float32Array(
              interleaveRows(new Uint8Array(found.buffer), count, headDim, width).buffer as ArrayBuffer,
            );
      assert.deepEqual(rows, rounded(blocks[role].values), role);
    }
    assert.equal(layer.o.dtype, 'float32');
    assert.deepEqual(readTensor(layer.o), readTensor(source.layer(1).o));
    assert.equal(readJson(dir, 'config.json').torch_dtype, 'float32');
  });
}

test('long models are divided into numbered files', async (t) => {
  const source = await openCheckpoint(goldenFolder('qwen3'));
  const dir = await imported(t, ggufOf(source), { shardBytes: 9000 });
  const files = readdirSync(dir).filter((name) => name.endsWith('.safetensors'));
  assert.ok(files.length > 2, files.join());
  assert.match(files[0]!, new RegExp(`^model-00001-of-0000${files.length}\\.safetensors$`));
  const result = await openCheckpoint(dir);
  for (const [tensor, file] of source.tensors)
    assert.deepEqual(readTensor(result.tensor(tensor)), readTensor(file), tensor);
  const index = readJson(dir, 'model.safetensors.index.json') as { metadata: { total_size: number } };
  assert.equal(index.metadata.total_size, source.sizeBytes);
});

test('the folder is whole: tokenizer, special tokens, generation settings; nothing is overwritten', async (t) => {
  const source = await openCheckpoint(goldenFolder('llama'));
  const contents = ggufOf(source);
  const metadata: Record<string, TypedValue> = {
    ...contents.metadata,
    'tokenizer.ggml.eot_token_id': ['u32', 2],
    'tokenizer.ggml.padding_token_id': ['u32', 0xffffffff],
    'tokenizer.ggml.add_bos_token': ['flag', true],
    'tokenizer.chat_template': ['text', '{{ messages }}'],
  };
  const dir = await imported(t, { ...contents, metadata });
  assert.deepEqual(readdirSync(dir).sort(), [
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  assert.deepEqual(readdirSync(join(dir, '..')), ['model'], 'no temporary folder stays');
  assert.deepEqual(readJson(dir, 'generation_config.json'), { bos_token_id: 0, eos_token_id: [1, 2] });
  const config = readJson(dir, 'tokenizer_config.json');
  assert.deepEqual(
    [config.bos_token, config.eos_token, config.pad_token, config.add_bos_token, config.chat_template],
    ['<s>', '</s>', undefined, true, '{{ messages }}'],
  );
  const tokenizer = openTokenizer(dir, source.config.vocabSize);
  assert.deepEqual([...tokenizer.encode('</s>!"', { bos: true })], [0, 1, 2, 3]);
  await rejectsWith(() => imported(t, contents, { out: dir }), 'import/exists', /nothing is overwritten/);
});

test('a signal stops the import and leaves no folder', async (t) => {
  const contents = ggufOf(await openCheckpoint(goldenFolder('llama')));
  const out = join(temporaryFolder(t), 'model');
  const controller = new AbortController();
  const seen: number[] = [];
  const stopped = imported(t, contents, {
    out,
    signal: controller.signal,
    onTensor: ({ tensorsDone, tensors }) => {
      seen.push(tensorsDone);
      assert.equal(tensors, Object.keys(contents.tensors).length);
      if (tensorsDone === 3) controller.abort();
    },
  });
  await assert.rejects(stopped, Cancelled);
  assert.deepEqual(seen, [0, 1, 2, 3]);
  assert.deepEqual(readdirSync(join(out, '..')), []);
});
