/** Perplexities that are not numbers, or too large for one. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { evaluateTexts } from '../../src/engine/evaluate/texts.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import type { PerplexityResult } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { copyGolden } from '../model/goldens.ts';

/** Measures a golden model of which one tensor is changed, at full precision and as if it were quantized. */
async function measured(
  t: TestContext,
  name: string,
  change: (value: number, index: number) => number,
): Promise<PerplexityResult> {
  const folder = copyGolden(t, 'llama');
  const path = join(folder, 'model.safetensors');
  const { tensors } = readSafetensorsHeader(path);
  const changed = Object.fromEntries(
    [...tensors].map(([key, tensor]) => {
      const values = toFloat32(tensor);
      return [key, float32(tensor.dims, key === name ? values.map(change) : values)];
    }),
  );
  await writeSafetensors(path, changed);
  const checkpoint = await openCheckpoint(folder);
  const runtime = await createRuntime({ kernels: 'composed', device: 'cpu' });
  const cache = new ProgramCache(runtime);
  t.after(async () => {
    await cache.release();
    runtime.close();
  });
  const network = () =>
    new Network(cache, checkpoint, {
      ...{ mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS },
      centreEmbedding: false,
    });
  const windows = differentWindows(checkpoint.config, 3, 12);
  const job = evaluateTexts([{ name: 'tiny', windows }], { 'full-precision': network });
  return (await collect(job)).result[0]!;
}

test('a perplexity beyond every number is infinite, with its mean loss', async (t) => {
  const { fullPrecision, quantized, meanLoss } = await measured(
    t,
    'model.norm.weight',
    (value) => 1e5 * value,
  );
  assert.equal(fullPrecision, Number.POSITIVE_INFINITY);
  assert.ok(meanLoss!.fullPrecision! > 709.79 && Number.isFinite(meanLoss!.fullPrecision!));
  assert.deepEqual([quantized, meanLoss!.quantized], [null, null], 'not measured');
});

test('the mean loss of a usual perplexity is its logarithm', async (t) => {
  const { fullPrecision, meanLoss } = await measured(t, 'model.norm.weight', (value) => value);
  assert.ok(Math.abs(Math.exp(meanLoss!.fullPrecision!) - fullPrecision!) < 1e-9 * fullPrecision!);
});

test('not a number is an error that says where it begins', async (t) => {
  const huge = 3e38;
  await assert.rejects(
    measured(t, 'model.layers.1.input_layernorm.weight', () => huge),
    {
      code: 'evaluation/not-finite',
      message:
        /^The full-precision perplexity of "tiny" is (not a number|infinite) from window 1 of 3 on: the activations of layer 1 are the first that are not finite\.$/,
      hint: /use another checkpoint/,
    },
  );
  await assert.rejects(
    measured(t, 'model.norm.weight', () => huge),
    { message: /layers are finite, the logits are not\.$/ },
  );
});

test('one window of many: the first that is not finite is named', async (t) => {
  const { config } = await openCheckpoint(copyGolden(t, 'llama'));
  const [first, second, third] = differentWindows(config, 3, 12);
  const only = [...second!].find((id) => !first!.includes(id) && !third!.includes(id));
  assert.ok(only !== undefined);
  const isOnly = (index: number) => Math.floor(index / config.hiddenSize) === only;
  await assert.rejects(
    measured(t, 'model.embed_tokens.weight', (value, index) =>
      isOnly(index) ? Number.POSITIVE_INFINITY : value,
    ),
    { message: /from window 2 of 3 on: the embeddings of its tokens are not finite\.$/ },
  );
});
