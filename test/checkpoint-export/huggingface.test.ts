/** A folder of numbers has the logits of the network that it was made of, on every architecture. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { weightsRoundedAlone } from '../../src/engine/checkpoint-export/network-forms.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import type { SeamMaps } from '../../src/engine/network/seams.ts';
import { planAcrossHeads } from '../../src/engine/rotation/hadamard-plan.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { GOLDEN_NAMES, readGolden } from '../model/goldens.ts';
import { distance, rotated } from '../onnx-export/exported.ts';
import { openGolden, settingsOf, written } from './written.ts';

/** float32 products in another order: weights with maps in them are off by some 2⁻²⁴ of their size, over a few layers. */
const FLOAT32_SHARE = 1e-5;

const size = (values: ArrayLike<number>): number => distance(values, new Float32Array(values.length));

for (const name of GOLDEN_NAMES)
  test(`${name}: rounded weights with maps at run time, folded back`, async (t) => {
    const { cache, checkpoint } = await openGolden(name);
    const ids = Int32Array.from(readGolden(name).ids);
    const network = rotated(cache, checkpoint, { weights: 4, activations: 4, cache: 4 });
    const { back, folder } = await written(t, cache, network, settingsOf('huggingface'));
    const expected = await sequenceLogits(weightsRoundedAlone(cache, network), ids);
    const found = await sequenceLogits(back, ids);
    assert.ok(distance(found, expected) < FLOAT32_SHARE * size(expected), `${distance(found, expected)}`);
    const plain = Float32Array.from(readGolden(name).logits.flat());
    assert.ok(distance(found, plain) > 100 * FLOAT32_SHARE * size(plain), 'the weights are rounded');
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    assert.equal(config.tie_word_embeddings, false);
    assert.equal(config.torch_dtype, 'float32');
    const { inputNorm, postNorm } = back.checkpoint.layer(0);
    for (const gain of [inputNorm, postNorm, back.checkpoint.finalNorm])
      assert.ok(toFloat32(gain).every((value) => value === 1));
  });

test('weights that are only rotated give the logits of the model', async (t) => {
  const { cache, checkpoint } = await openGolden('llama3-scaled-tied');
  const golden = readGolden('llama3-scaled-tied');
  const network = rotated(cache, checkpoint, { weights: 4, activations: 4, cache: 4 });
  const { back } = await written(t, cache, network, settingsOf('huggingface', { weights: 'rotated' }));
  const found = await sequenceLogits(back, Int32Array.from(golden.ids));
  const plain = Float32Array.from(golden.logits.flat());
  assert.ok(distance(found, plain) < FLOAT32_SHARE * size(plain));
  assert.notDeepEqual(toFloat32(back.checkpoint.layer(0).q), toFloat32(checkpoint.layer(0).q));
});

test('scales behind a norm are its gain, and what mixes heads is folded back', async (t) => {
  const { cache, checkpoint } = await openGolden('llama');
  const { layers, hiddenSize, heads } = checkpoint.config;
  const scales = Array.from({ length: layers }, (_, layer) =>
    Float32Array.from({ length: hiddenSize }, (_, i) => 0.5 + ((i * 7 + layer) % 11) / 8),
  );
  const maps: SeamMaps = {
    'attention-norm': { kind: 'diagonal' },
    'across-heads': { kind: 'across-heads', transform: planAcrossHeads(heads) },
  };
  const form = { weights: 4, activations: 16, r1: false, maps, state: { 'attention-norm': scales } } as const;
  const network = rotated(cache, checkpoint, form);
  const { back } = await written(t, cache, network, settingsOf('huggingface'));
  assert.deepEqual(toFloat32(back.checkpoint.layer(1).inputNorm), scales[1]);
  const ids = Int32Array.from(readGolden('llama').ids);
  const [found, expected] = [await sequenceLogits(back, ids), await sequenceLogits(network, ids)];
  assert.ok(distance(found, expected) < FLOAT32_SHARE * size(expected));
});

test('numbers of 16 bits are those of 32, rounded once', async (t) => {
  const { cache, checkpoint } = await openGolden('llama');
  const network = rotated(cache, checkpoint, { weights: 4, activations: 16 });
  const wide = (await written(t, cache, network, settingsOf('huggingface'))).back.checkpoint;
  const narrow = (await written(t, cache, network, settingsOf('huggingface', { dtype: 'bfloat16' }))).back
    .checkpoint;
  for (const [name, tensor] of wide.tensors) {
    const [values, rounded] = [toFloat32(tensor), toFloat32(narrow.tensor(name))];
    assert.equal(narrow.tensor(name).dtype, 'bfloat16');
    // bfloat16 has 8 bits: half of the last one is 2⁻⁸ of a number at most.
    for (const [i, value] of values.entries())
      assert.ok(Math.abs(rounded[i]! - value) <= Math.abs(value) * 2 ** -8, `${name} ${i}`);
  }
});
