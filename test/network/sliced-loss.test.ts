/** The output layer in slices of the vocabulary against the whole of it at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION, NO_ROTATION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { ProgramCache } from '../../src/engine/network/programs.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise, randomTensor } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const TOKENS = 10;
const EPSILON = 2 ** -23;

for (const kernels of KERNELS) {
  for (const name of ['llama', 'llama3-scaled-tied']) {
    test(`${name}: loss and gradients in slices equal those at once (${kernels} kernels)`, async () => {
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const { hiddenSize, vocabSize } = checkpoint.config;
      const sites = { ...NO_ROTATION, r1: true };
      const r1 = Float32Array.from(haarRotation(hiddenSize, new Rng(1)));
      // Slices of seven rows of the vocabulary, so the last one is shorter.
      const networks = [undefined, 7 * TOKENS].map((logitElements) => {
        const options = {
          mode: 'merged',
          quantizers: FULL_PRECISION,
          sites,
          centreEmbedding: false,
        } as const;
        const network = new Network(cache, checkpoint, {
          ...options,
          ...(logitElements !== undefined && { logitElements }),
        });
        network.setRotations({ r1, r2: null });
        return network;
      });
      const x = randomTensor([TOKENS, hiddenSize], noise(4), 3);
      const labels = Int32Array.from({ length: TOKENS }, (_, t) => (t === 3 ? -1 : (t * 13) % vocabSize));
      const [whole, sliced] = await Promise.all(
        networks.map((network) => network.lossBackward(x, labels, 0.25)),
      );
      const nll = await networks[1]!.loss(x, labels);
      assert.deepEqual(nll, sliced!.nll, 'forward alone gives the same');
      assert.equal(nll[3], 0, 'a negative label is not counted');
      // Sums over the vocabulary in another order: √V roundings of values of order ten.
      const bound = 10 * Math.sqrt(vocabSize) * EPSILON;
      near(sliced!.nll, whole!.nll, 4 * bound);
      near(sliced!.dx.data, whole!.dx.data, bound);
      near(sliced!.r1!, whole!.r1!, 4 * bound);
      await cache.release();
      runtime.close();
    });
  }
}

function near(found: Float32Array, expected: Float32Array, bound: number): void {
  assert.ok(expected.some((value) => value !== 0));
  for (let i = 0; i < found.length; i++) {
    assert.ok(
      Math.abs(found[i]! - expected[i]!) <= bound,
      `[${i}] ${found[i]} against ${expected[i]}, bound ${bound}`,
    );
  }
}
