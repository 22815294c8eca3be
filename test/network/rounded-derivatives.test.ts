/**
 * Learning in `bfloat16` rounds factors of derivatives only: the loss has the same bits, and the gradient of every
 * rotation is off by no more than these factors can make it.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Precision } from '../../src/engine/graph/lower/tiles.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { lossAndGradients } from '../../src/engine/transform/learning/gradient-step.ts';

const MODEL = join(import.meta.dirname, '..', '..', 'examples', 'demo', 'model');

test('rounded derivatives leave the loss alone, and gradients nearly', async (context) => {
  const runtime = await createRuntime({ threads: 2 });
  const cache = new ProgramCache(runtime);
  if (!cache.abilities.roundedProducts || cache.abilities.bfloat16Products) {
    return context.skip('this processor has no products of bfloat16 on vectors');
  }
  const checkpoint = await openCheckpoint(MODEL);
  const { config } = checkpoint;
  const random = new Rng(3);
  const state = {
    residual: [Float32Array.from(haarRotation(config.hiddenSize, random))],
    value: Array.from({ length: config.layers }, () =>
      Float32Array.from(haarRotation(config.headDim, random)),
    ),
  };
  const batch = Array.from({ length: 8 }, () =>
    Int32Array.from({ length: 128 }, () => random.integer(config.vocabSize)),
  );
  const found = async (precision: Precision) => {
    const network = new Network(cache, checkpoint, {
      mode: 'merged',
      // Activations that are not rounded have no code that may fall to another side.
      quantizers: { ...FULL_PRECISION, weights: { bits: 4, symmetric: true, group: 0, clipSearch: false } },
      maps: spinQuantMaps({ r1: true, r2: true, r3: null, r4: planHadamard(config.intermediateSize) }),
      centreEmbedding: false,
      integer: 'if-faster',
      learns: true,
      precision,
    });
    network.setMaps(state);
    return lossAndGradients(network, batch, 8);
  };
  const [exact, rounded] = [await found('float32'), await found('bfloat16')];
  assert.equal(rounded.loss, exact.loss);
  // Each product of a chain is off by 2^-8 of its size: seven for every layer, and two at the end.
  const bound = (7 * config.layers + 2) * 2 ** -8;
  for (const seam of ['residual', 'value'] as const) {
    exact.gradients[seam]!.forEach((expected, index) => {
      const error = distance(rounded.gradients[seam]![index]!, expected);
      assert.ok(error > 0, `${seam} ${index} is rounded`);
      assert.ok(error <= bound, `${seam} ${index}: ${error} of ${bound}`);
    });
  }
});

/** ‖a − b‖ / ‖b‖. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
