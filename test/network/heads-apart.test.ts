/** A rotation of each key/value head: with equal ones it is the one of all heads, and so are its derivatives in sum. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { NetworkMode } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';

const MODEL = join(import.meta.dirname, '..', '..', 'examples', 'demo', 'model');
/** Products behind each other, forth and back, in a layer. */
const PRODUCTS = 16;

for (const mode of ['unrotated', 'merged'] as const satisfies readonly NetworkMode[]) {
  test(`${mode}: gradients of equal rotations add up to that of the shared one`, async () => {
    const runtime = await createRuntime({ threads: 1 });
    const cache = new ProgramCache(runtime);
    const checkpoint = await openCheckpoint(MODEL);
    const { hiddenSize, headDim, layers, kvHeads, vocabSize } = checkpoint.config;
    assert.ok(kvHeads > 1);
    const random = new Rng(3);
    const rotation = (n: number) => Float32Array.from(haarRotation(n, random));
    const residual = [rotation(hiddenSize)];
    const value = Array.from({ length: layers }, () => rotation(headDim));
    const batch = Array.from({ length: 2 }, () =>
      Int32Array.from({ length: 24 }, () => random.integer(vocabSize)),
    );
    const found = (r2PerHead: boolean) => {
      // Numbers that are not rounded have no code that may fall to another side.
      const maps = spinQuantMaps({ r1: true, r2: true, r2PerHead, r3: null, r4: null });
      const options = { mode, quantizers: FULL_PRECISION, maps, centreEmbedding: false, learns: true };
      const network = new Network(cache, checkpoint, options);
      const each = value.flatMap((one) => Array.from({ length: r2PerHead ? kvHeads : 1 }, () => one));
      network.setMaps({ residual, value: each });
      return lossAndGradients(network, batch, 2);
    };
    const [shared, apart] = [await found(false), await found(true)];
    await cache.release();
    runtime.close();
    // Each product rounds sums of its width; the walk of their errors grows by the root.
    const bound = 2 ** -24 * layers * PRODUCTS * Math.sqrt(hiddenSize);
    assert.ok(Math.abs(shared.loss - apart.loss) < bound * shared.loss);
    assert.equal(apart.gradients.value!.length, layers * kvHeads);
    const sums = value.map((one, layer) =>
      Float64Array.from(one, (_, i) =>
        apart.gradients
          .value!.slice(layer * kvHeads, (layer + 1) * kvHeads)
          .reduce((sum, gradient) => sum + gradient[i]!, 0),
      ),
    );
    for (const [name, expected, given] of [
      ['R1', shared.gradients.residual![0]!, apart.gradients.residual![0]!],
      ...sums.map((sum, layer) => [`R2 ${layer}`, shared.gradients.value![layer]!, sum] as const),
    ] as const) {
      const [size, off] = [norm(expected), norm(expected.map((one, i) => one - given[i]!))];
      assert.ok(size > 1e-4 && off < bound * size, `${name}: off by ${off} of ${size}, bound ${bound}`);
    }
  });
}

const norm = (numbers: Float64Array): number => Math.hypot(...numbers);
