/**
 * Logits of every architecture against values made once with transformers in float64 (scripts/goldens), in the plain
 * network and with all four rotations merged, on both kinds of kernels.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS, type SeamMaps, spinQuantMaps, spinQuantState } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

function allRotations({ heads, headDim, intermediateSize }: ModelConfig, mixesHeads = false): SeamMaps {
  const [r3, r4] = [planHadamard(headDim), planHadamard(intermediateSize)];
  return spinQuantMaps({ r1: true, r2: true, r3, r4, acrossHeads: mixesHeads ? planHadamard(heads) : null });
}

for (const kernels of KERNELS) {
  for (const name of GOLDEN_NAMES) {
    test(`${name}: logits equal transformers' (${kernels} kernels)`, async (t) => {
      const golden = readGolden(name);
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const { config } = checkpoint;
      const sizes = { hidden: config.hiddenSize, headDim: config.headDim, layers: config.layers };
      const plain = { mode: 'plain', maps: NO_MAPS } as const;
      const unrotated = { mode: 'unrotated', maps: allRotations(config) } as const;
      const merged = { mode: 'merged', maps: allRotations(config) } as const;
      const mixed = allRotations(config, true);
      for (const form of [
        plain,
        unrotated,
        merged,
        { ...unrotated, maps: mixed },
        { ...merged, maps: mixed },
      ]) {
        const network = new Network(cache, checkpoint, {
          ...form,
          quantizers: FULL_PRECISION,
          centreEmbedding: false,
        });
        // Haar rotations: widths here need not have a Hadamard matrix.
        const { r1, r2 } = drawRotations(sizes, { r1: 'random', r2: 'random' }, new Rng(1));
        network.setMaps(spinQuantState(r1, r2));
        const logits = await sequenceLogits(network, Int32Array.from(golden.ids));
        const difference = maxDifference(logits, golden.logits.flat());
        // transformers' own float32 pass differs by this much; rotating adds two products per site: four times it.
        const bound = 4 * golden.float32MaxDifference;
        t.diagnostic(
          `${form.mode}: max |Δlogit| ${difference.toExponential(2)}, bound ${bound.toExponential(2)}`,
        );
        assert.ok(difference <= bound, `${form.mode}: logits differ by ${difference}, bound ${bound}`);
      }
      await cache.release();
      runtime.close();
    });
  }
}

function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}
