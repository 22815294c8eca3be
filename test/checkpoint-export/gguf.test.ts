/** GGUF files of golden models with rotations: numbers bit for bit, codes that stay codes, logits through the import. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ggufTensors } from '../../src/engine/checkpoint-export/gguf-tensors.ts';
import { MergedWeights } from '../../src/engine/checkpoint-export/merged-weights.ts';
import { networkOfFolder, weightsRoundedAlone } from '../../src/engine/checkpoint-export/network-forms.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import type { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { ggufConfig } from '../../src/engine/model/gguf/write-config.ts';
import { importGguf } from '../../src/engine/model/import-gguf.ts';
import { pairByNeighbours } from '../../src/engine/model/rotary-rows.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { multiples } from '../../src/engine/network/rounded-weights.ts';
import { float16Value, float32ToFloat16 } from '../../src/formats/float-bits.ts';
import { readGguf } from '../../src/formats/gguf.ts';
import { readGgufTensor } from '../../src/formats/gguf-types.ts';
import { type GgufValue, writeGguf } from '../../src/formats/gguf-write.ts';
import { readTensor, toFloat32 } from '../../src/formats/tensor-io.ts';
import type { GgufWeightType } from '../../src/protocol/export-formats.ts';
import { temporaryFolder } from '../formats/support.ts';
import { rotatedNetwork } from '../helpers/golden-network.ts';
import { interleaveRows, TOKENIZER } from '../model/gguf-models.ts';
import { GOLDEN_NAMES, readGolden } from '../model/goldens.ts';
import { distance, rotated } from '../onnx-export/exported.ts';
import { openGolden, settingsOf, written } from './written.ts';

async function ggufFile(
  t: TestContext,
  cache: ProgramCache,
  network: Network,
  type: GgufWeightType,
): Promise<string> {
  const weights = new MergedWeights(cache, network, 'rounded');
  const path = join(temporaryFolder(t), 'model.gguf');
  const metadata = {
    ...ggufConfig(network.checkpoint.config, 'golden', 1),
    ...(TOKENIZER as Record<string, GgufValue>),
  };
  await writeGguf(
    path,
    metadata,
    ggufTensors({ weights, type, hadamard: 'folded', embeddings: 32, head: 16 }),
  );
  return path;
}

/** float16 has 11 bits: its numbers are off by 2⁻¹² of their size in the mean, and logits by some of these. */
const FLOAT16_SHARE = 2 ** -9;
const size = (values: ArrayLike<number>): number => distance(values, new Float32Array(values.length));

for (const name of GOLDEN_NAMES)
  test(`${name}: F16 has the numbers of a Hugging Face folder, and the import its logits`, async (t) => {
    const { cache, checkpoint } = await openGolden(name);
    const network = rotated(cache, checkpoint, { weights: 4, activations: 4, cache: 4 });
    const { dir } = await importGguf({
      file: await ggufFile(t, cache, network, 'F16'),
      out: join(temporaryFolder(t), 'out'),
    });
    const back = await networkOfFolder(cache, dir);
    assert.deepEqual(back.checkpoint.config, { ...checkpoint.config, tiedEmbeddings: false });
    const { back: folder } = await written(t, cache, network, settingsOf('huggingface'));
    for (const [tensor, file] of folder.checkpoint.tensors) {
      const found = readTensor(back.checkpoint.tensor(tensor));
      const values = toFloat32(file);
      const isHalf = file.dims.length > 1 && !tensor.includes('embed');
      assert.deepEqual(found.data, isHalf ? float32ToFloat16(values) : values, tensor);
    }
    const ids = Int32Array.from(readGolden(name).ids);
    const expected = await sequenceLogits(weightsRoundedAlone(cache, network), ids);
    const logits = await sequenceLogits(back, ids);
    assert.ok(distance(logits, expected) < FLOAT16_SHARE * size(expected), `${distance(logits, expected)}`);
  });

test('codes of a run stay codes, with scales in float16', async (t) => {
  const { cache, checkpoint } = await openGolden('llama');
  const quantizers = {
    ...FULL_PRECISION,
    weights: { bits: 4, symmetric: true, group: 0, clipSearch: false },
  };
  const options = { mode: 'merged', quantizers, mixesProducts: false } as const;
  const { network } = rotatedNetwork(cache, checkpoint, options);
  const { hiddenSize, heads, kvHeads, headDim } = checkpoint.config;
  const weights = new MergedWeights(cache, network, 'rounded');
  for (const type of ['Q4_0', 'Q8_0'] as const) {
    const { tensors } = await readGguf(await ggufFile(t, cache, network, type));
    const columns = { q: hiddenSize, k: hiddenSize, v: hiddenSize, o: heads * headDim };
    const names = { q: 'attn_q', k: 'attn_k', v: 'attn_v', o: 'attn_output' };
    for (const linear of ['q', 'k', 'v', 'o'] as const) {
      const tensor = tensors.get(`blk.1.${names[linear]}.weight`);
      assert.ok(tensor);
      assert.equal(tensor.type, columns[linear] % 32 === 0 ? type : 'F16');
      const grid = await weights.of(1, linear);
      assert.ok('codes' in grid);
      const scale = grid.scale.map((step) => float16Value(float32ToFloat16(Float32Array.of(step))[0]!));
      const values = multiples({ ...grid, scale: tensor.type === 'F16' ? grid.scale : scale });
      const kept =
        tensor.type === 'F16'
          ? values.map((value) => float16Value(float32ToFloat16(Float32Array.of(value))[0]!))
          : values;
      const bytes = new Uint8Array(kept.buffer.slice(0));
      const isTurned = linear === 'q' || linear === 'k';
      const turned = isTurned
        ? interleaveRows(bytes, linear === 'q' ? heads : kvHeads, headDim, 4 * columns[linear])
        : bytes;
      assert.deepEqual(
        toFloat32(readGgufTensor(tensor)),
        new Float32Array(turned.buffer),
        `${type} ${linear}`,
      );
    }
  }
});

test('rows of pairs are those of the halves', () => {
  const bytes = Uint8Array.from({ length: 2 * 6 * 3 }, (_, i) => i);
  assert.deepEqual(pairByNeighbours(bytes, 12, 6), interleaveRows(bytes, 2, 6, 3));
});
