/** A consolidated checkpoint: read back it has the logits of the run's weights, beside tables of 8 bits. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bytesOfRows } from '../../src/engine/checkpoint-export/consolidated-tensors.ts';
import { executorchRows } from '../../src/engine/checkpoint-export/executorch-rows.ts';
import type { ExportQuestion } from '../../src/engine/checkpoint-export/format.ts';
import { writeModelFiles } from '../../src/engine/checkpoint-export/model-files.ts';
import { networkOfFolder } from '../../src/engine/checkpoint-export/network-forms.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import type { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { readStoredTensors } from '../../src/engine/model/stored-tensors.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { multiples } from '../../src/engine/network/rounded-weights.ts';
import { NetworkWeights } from '../../src/engine/onnx-export/network-weights.ts';
import { writeModelWeights } from '../../src/formats/safetensors-shards.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { readTorchTensors } from '../../src/formats/torch-zip.ts';
import { float32, type Tensor } from '../../src/protocol/tensor.ts';
import { temporaryFolder } from '../formats/support.ts';
import { readGolden } from '../model/goldens.ts';
import { rotated } from '../onnx-export/exported.ts';
import { openGolden, settingsOf, written } from './written.ts';

const questionOf = ({ options, checkpoint }: Network): ExportQuestion => ({
  ...options,
  config: checkpoint.config,
  method: 'rtn',
  dense: false,
  settings: settingsOf('executorch'),
});

test('codes, scales and names are those of the layout', async (t) => {
  const { cache, checkpoint } = await openGolden('llama');
  const { config } = checkpoint;
  const network = rotated(cache, checkpoint, { weights: 4, activations: 8, groupSize: 8 });
  const { folder, files, back } = await written(t, cache, network, settingsOf('executorch'));
  assert.deepEqual(files.slice(0, 2), ['consolidated.00.pth', 'params.json']);
  const tensors = readTorchTensors(join(folder, 'consolidated.00.pth'));
  assert.equal([...tensors.values()][0]?.dtype, 'float32');
  const own = await new NetworkWeights(cache, network).of(1, 'q');
  assert.ok('codes' in own);
  const [codes, scales] = ['weight', 'scales'].map((part) => tensors.get(`layers.1.attention.wq.${part}`));
  assert.deepEqual([codes?.dtype, codes?.dims], ['int8', [own.rows, own.columns]]);
  assert.deepEqual([scales?.dtype, scales?.dims], ['float32', [own.rows, own.columns / 8]]);
  // [heads, 2, h/2] with axes 1 and 2 swapped.
  const half = config.headDim / 2;
  for (let row = 0; row < own.rows; row++) {
    const [head, side, pair] = [
      Math.floor(row / config.headDim),
      Math.floor((row % config.headDim) / half),
      row % half,
    ];
    const to = head * config.headDim + 2 * pair + side;
    const part = (all: ArrayLike<number> | ArrayLike<bigint>, at: number, width: number): number[] =>
      Array.from({ length: width }, (_, i) => Number(all[at * width + i]));
    assert.deepEqual(part(codes!.data, to, own.columns), part(own.codes, row, own.columns));
    assert.deepEqual(part(scales!.data, to, own.columns / 8), part(own.scale, row, own.columns / 8));
  }
  assert.deepEqual(tensors.get('tok_embeddings.scales')?.dims, [config.vocabSize, 1]);
  assert.ok(tensors.has('layers.0.ffn_norm.weight') && tensors.has('norm.weight'));
  const params = JSON.parse(readFileSync(join(folder, 'params.json'), 'utf8'));
  assert.deepEqual([params.dim, params.n_kv_heads], [config.hiddenSize, config.kvHeads]);
  assert.deepEqual(params.quantization_args, { group_size: 8 });

  const ids = Int32Array.from(readGolden('llama').ids);
  const found = await sequenceLogits(back, ids);
  const expected = await sequenceLogits(await withTablesOfBytes(t, network, cache), ids);
  // The same codes, in products of another order.
  for (const [i, logit] of found.entries()) assert.ok(Math.abs(logit - expected[i]!) < 1e-4, `${i}`);
});

/** The weights of a network as numbers, beside tables of tokens that are rounded to 8 bits. */
async function withTablesOfBytes(t: TestContext, network: Network, cache: ProgramCache): Promise<Network> {
  const { folder } = await written(t, cache, network, settingsOf('huggingface'));
  const tensors: Record<string, Tensor> = Object.fromEntries(readStoredTensors(folder).tensors);
  for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
    const { dims } = tensors[name]!;
    const [rows = 0, columns = 0] = dims;
    const rounded = bytesOfRows(toFloat32(tensors[name]!), columns);
    const zero = new Float32Array(rows);
    tensors[name] = float32(dims, multiples({ rows, columns, ...rounded, zero }));
  }
  const out = temporaryFolder(t);
  await writeModelWeights(out, tensors);
  await writeModelFiles(out, folder, 'float32');
  return networkOfFolder(cache, out);
}

test('rows of 8 bits are off by half a step at most, halves to even', () => {
  const rows = Float32Array.of(127, 2.5, 3.5, -2.5, 0, 0, 0, 0, -1, 0.5, 0.25, 1);
  const { codes, scale } = bytesOfRows(rows, 4);
  assert.deepEqual([...codes.slice(0, 8)], [127, 2, 4, -2, 0, 0, 0, 0]);
  assert.deepEqual([...scale], [1, 1, Math.fround(1 / 127)]);
  for (const [i, value] of rows.entries())
    assert.ok(Math.abs(scale[i >> 2]! * codes[i]! - value) <= scale[i >> 2]! * 0.500001);
});

test('what the runtime does not compute is refused', async () => {
  const { cache, checkpoint } = await openGolden('llama');
  const own = questionOf(rotated(cache, checkpoint, { weights: 4, activations: 8 }));
  const refused = (question: ExportQuestion): string[] =>
    executorchRows(question).flatMap(({ part, verdict, there }) =>
      verdict === 'refused' ? [`${part}: ${there}`] : [],
    );
  // The golden model's 48 channels before down_proj are no power of two, and a row has one scale.
  assert.match(refused(own).join('\n'), /weights: its products have groups of 32, 64, 128, 256/);
  assert.match(refused(own).join('\n'), /R4: it turns all channels at once/);
  const weights = { ...own.quantizers.weights, group: 32 };
  const without = { ...own, maps: {}, quantizers: { ...own.quantizers, weights } };
  assert.deepEqual(refused(without), []);
  assert.match(
    refused({ ...without, config: { ...own.config, qkNorm: true, attentionBias: true } }).join(),
    /architecture: its checkpoints are of Llama models/,
  );
});
