/** R4 in a GGUF file for forks: keys that say it, codes of rotated channels, and an import that takes it back out. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { forkObstacle, hadamardKeys } from '../../src/engine/checkpoint-export/gguf-hadamard.ts';
import { ggufTensors } from '../../src/engine/checkpoint-export/gguf-tensors.ts';
import { MergedWeights } from '../../src/engine/checkpoint-export/merged-weights.ts';
import { networkOfFolder, weightsRoundedAlone } from '../../src/engine/checkpoint-export/network-forms.ts';
import { runTimeMaps } from '../../src/engine/checkpoint-export/run-time-maps.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { unrotated } from '../../src/engine/model/gguf/hadamard.ts';
import { ggufConfig } from '../../src/engine/model/gguf/write-config.ts';
import { importGguf } from '../../src/engine/model/import-gguf.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planAcrossHeads, planHadamard, planPowerOfTwo } from '../../src/engine/rotation/hadamard-plan.ts';
import { float32ToFloat16 } from '../../src/formats/float-bits.ts';
import { readGguf } from '../../src/formats/gguf.ts';
import { readGgufTensor } from '../../src/formats/gguf-types.ts';
import { type GgufValue, writeGguf } from '../../src/formats/gguf-write.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { TOKENIZER } from '../model/gguf-models.ts';
import { readGolden } from '../model/goldens.ts';
import { distance, rotated } from '../onnx-export/exported.ts';
import { openGolden } from './written.ts';

const NO_MAP = { r1: false, r2: false, r3: null, r4: null } as const;

/** The golden LLaMA, whose 48 products are turned in blocks of 16, as a file for forks. */
async function forForks(t: TestContext, changes: Readonly<Record<string, GgufValue>> = {}) {
  const { cache, checkpoint } = await openGolden('llama');
  const { config } = checkpoint;
  const { 'up-down': map } = spinQuantMaps({ ...NO_MAP, r4: planPowerOfTwo(config.intermediateSize) });
  const maps = { 'up-down': map! };
  const network = rotated(cache, checkpoint, { weights: 4, activations: 16, maps });
  const weights = new MergedWeights(cache, network, 'rounded');
  const path = join(temporaryFolder(t), 'model.gguf');
  const metadata = {
    ...ggufConfig(config, 'golden', 1),
    ...(TOKENIZER as Record<string, GgufValue>),
    ...hadamardKeys(network.options.maps, config),
    ...changes,
  };
  const form = { type: 'F16', hadamard: 'prism', embeddings: 32, head: 16 } as const;
  await writeGguf(path, metadata, ggufTensors({ weights, ...form }));
  return { cache, network, weights, path };
}

test('the file has the weights of rotated channels, and the import the function of the run', async (t) => {
  const { cache, network, weights, path } = await forForks(t);
  const { metadata, tensors } = await readGguf(path);
  assert.deepEqual(
    ['block_size', 'sign_mode', 'sign_widths', 'weight_names'].map((name) =>
      metadata.get(`prism.hadamard.${name}`),
    ),
    [16, 'explicit', [48], ['blk.0.ffn_down.weight', 'blk.1.ffn_down.weight']],
  );
  const down = toFloat32(readGgufTensor(tensors.get('blk.1.ffn_down.weight')!));
  const half = float32ToFloat16(down);
  assert.deepEqual(half, float32ToFloat16(await weights.numbers(1, 'down')));
  assert.notDeepEqual(half, float32ToFloat16(await weights.folded(1, 'down')));
  const { dir } = await importGguf({ file: path, out: join(temporaryFolder(t), 'out') });
  const ids = Int32Array.from(readGolden('llama').ids);
  const expected = await sequenceLogits(weightsRoundedAlone(cache, network), ids);
  const logits = await sequenceLogits(await networkOfFolder(cache, dir), ids);
  const size = distance(expected, new Float32Array(expected.length));
  // float16 has 11 bits: its numbers are off by 2⁻¹² of their size in the mean, and logits by some of these.
  assert.ok(distance(logits, expected) < 2 ** -9 * size, `${distance(logits, expected) / size}`);
});

test('W of rotated channels becomes W H diag(signs) / √block, as in loops', () => {
  const [rows, columns, block] = [3, 24, 8];
  const values = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i));
  const signs = Array.from({ length: columns }, (_, i) => (i % 3 === 0 ? -1 : 1));
  const tensor = float32([rows, columns], values);
  const found = unrotated(tensor, { block, signs: new Map([[columns, signs]]), names: new Set() });
  const ones = (n: number): number => (n === 0 ? 0 : (n & 1) + ones(n >> 1));
  for (let row = 0; row < rows; row++)
    for (let j = 0; j < columns; j++) {
      const first = j - (j % block);
      let sum = 0;
      for (let i = 0; i < block; i++)
        sum += values[row * columns + first + i]! * (-1) ** ones(i & (j - first));
      // Three rounded additions of numbers up to 1, and one product: 8 · 2⁻²⁴ at most.
      const expected = (sum * signs[j]!) / Math.sqrt(block);
      assert.ok(Math.abs(toFloat32(found)[row * columns + j]! - expected) < 8 * 2 ** -24, `${row} ${j}`);
    }
});

test('maps that the keys cannot say are refused with what to do', () => {
  const place = (maps: ReturnType<typeof spinQuantMaps>) => runTimeMaps(maps)[0]!;
  const config = { intermediateSize: 48 };
  const whole = place(spinQuantMaps({ ...NO_MAP, r4: planHadamard(48) }));
  assert.match(forkObstacle(whole, config)!.hint, /"r4Blocks": "power-of-two"/);
  const heads = place(spinQuantMaps({ ...NO_MAP, acrossHeads: planAcrossHeads(4) }));
  assert.match(forkObstacle(heads, config)!.there, /mixes heads/);
  assert.equal(forkObstacle(place(spinQuantMaps({ ...NO_MAP, r4: planPowerOfTwo(48) })), config), null);
});

test('a file with keys of another kind is refused', async (t) => {
  const cases: readonly [string, GgufValue, string, RegExp][] = [
    ['transform', ['text', 'other'], 'gguf/hadamard', /of a kind that is not known/],
    ['block_size', ['u32', 12], 'gguf/hadamard', /blocks of 12, which is no power of two/],
    ['block_size', ['u32', 32], 'gguf/hadamard', /do not divide the 48 columns of blk\.0\.ffn_down\.weight/],
    ['sign_widths', ['i32', [40]], 'gguf/metadata', /40 signs, 1 or −1/],
    ['weight_names', ['text', ['blk.9.ffn_down.weight']], 'gguf/hadamard', /names blk\.9\.ffn_down\.weight/],
    ['inverse_weight_names', ['text', ['token_embd.weight']], 'gguf/hadamard', /embeddings are rotated/],
  ];
  for (const [key, value, code, message] of cases) {
    const { path } = await forForks(t, { [`prism.hadamard.${key}`]: value });
    const out = join(temporaryFolder(t), 'out');
    await rejectsWith(() => importGguf({ file: path, out }), code, message);
  }
});
