/** The output layer in slices of the vocabulary or chunks of tokens against the whole of it at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY, type NetworkMemory } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { spinQuantMaps, spinQuantState } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise, randomTensor } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const TOKENS = 10;
const EPSILON = 2 ** -23;

/** All at once; chunks of four tokens, so the last one is shorter; slices of seven rows of the vocabulary, likewise. */
const MEMORIES = (vocabulary: number): Partial<NetworkMemory>[] => [
  {},
  { logitElements: 4 * vocabulary },
  { headBytes: 0, logitElements: 7 * TOKENS },
];

for (const kernels of KERNELS) {
  for (const name of ['llama', 'llama3-scaled-tied']) {
    test(`${name}: loss and gradients in slices equal those at once (${kernels} kernels)`, async () => {
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const { hiddenSize, vocabSize } = checkpoint.config;
      const maps = spinQuantMaps({ r1: true, r2: false, r3: null, r4: null });
      const r1 = Float32Array.from(haarRotation(hiddenSize, new Rng(1)));
      const networks = MEMORIES(vocabSize).map((memory) => {
        const options = {
          mode: 'merged',
          quantizers: FULL_PRECISION,
          maps,
          centreEmbedding: false,
        } as const;
        const network = new Network(cache, checkpoint, {
          ...options,
          memory: { ...DEFAULT_MEMORY, ...memory },
        });
        network.setMaps(spinQuantState(r1, null));
        return network;
      });
      const x = randomTensor([TOKENS, hiddenSize], noise(4), 3);
      const labels = Int32Array.from({ length: TOKENS }, (_, t) => (t === 3 ? -1 : (t * 13) % vocabSize));
      const whole = await networks[0]!.lossBackward(x, labels, 0.25);
      // Sums over the vocabulary in another order: √V roundings of values of order ten.
      const bound = 10 * Math.sqrt(vocabSize) * EPSILON;
      for (const network of networks.slice(1)) {
        const parts = await network.lossBackward(x, labels, 0.25);
        const nll = await network.loss(x, labels);
        // Without derivatives a bfloat16 output layer has an operator of its own (`network/whole-loss.ts`).
        near(nll, parts.nll, 4 * bound);
        assert.equal(nll[3], 0, 'a negative label is not counted');
        near(parts.nll, whole.nll, 4 * bound);
        near(parts.dx.data, whole.dx.data, bound);
        near(parts.maps.residual!, whole.maps.residual!, 4 * bound);
      }
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
