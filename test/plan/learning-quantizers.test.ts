/** Which quantizers a network is learned with, and that programs compiled for others are not mistaken for theirs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { experimentSchema, type ResolvedExperiment } from '../../src/config/index.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { Network } from '../../src/engine/network/network.ts';
import { quantizersAt } from '../../src/engine/network/network-quantizers.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { learningQuantizersOf } from '../../src/engine/plan/networks.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise, randomTensor, TINY_CONFIG } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const SITES = ['input', 'outputInput', 'downInput', 'keys', 'values'] as const;

function experiment(scaleGradient: boolean): ResolvedExperiment {
  const settings = experimentSchema.parse({ model: 'm', rotation: { learning: { scaleGradient } } });
  return { ...settings, source: { file: 'x', directory: '.', warnings: [] } };
}

test('every activation quantizer gets the gradient through its scale, in learning only', () => {
  const own = quantizersOf(experiment(true).quantization, experiment(true).rotation, TINY_CONFIG);
  const { quantizers: deployed } = own;
  const { quantizers: live } = learningQuantizersOf(experiment(true), own);
  const { quantizers: detached } = learningQuantizersOf(experiment(false), own);
  for (const site of SITES) {
    assert.deepEqual(live[site], { ...deployed[site], scaleGradient: true }, site);
    assert.deepEqual(detached[site], deployed[site], site);
    assert.ok(!deployed[site].scaleGradient, site);
  }
  assert.deepEqual(live.weights, detached.weights);
});

test('exceptions are learned with, those of weights where weights are rounded in the loop', () => {
  const exceptions = [{ layers: [1], sites: 'gate-up', activations: { bits: 8 }, weights: { bits: 8 } }];
  const of = (method: string, scaleGradient: boolean) => {
    const settings = experimentSchema.parse({
      model: 'm',
      quantization: { weights: { method }, exceptions },
      rotation: { learning: { scaleGradient, weightClip: false } },
    });
    const asked = { ...settings, source: { file: 'x', directory: '.', warnings: [] } };
    const own = quantizersOf(asked.quantization, asked.rotation, TINY_CONFIG);
    return quantizersAt(learningQuantizersOf(asked, own), 1);
  };
  const nearest = of('rtn', false);
  assert.deepEqual([nearest.gateUpInput?.bits, nearest.input.bits], [8, 4]);
  assert.deepEqual([nearest.otherWeights?.up?.bits, nearest.otherWeights?.up?.clipSearch], [8, false]);
  assert.equal(nearest.otherWeights?.down, undefined);
  const sixteen = of('gptq', true);
  assert.deepEqual([sixteen.weights.bits, sixteen.otherWeights], [16, undefined]);
  assert.deepEqual([sixteen.gateUpInput?.bits, sixteen.gateUpInput?.scaleGradient], [8, true]);
});

for (const kernels of KERNELS) {
  test(`one cache serves both derivatives, whose networks are the same (${kernels} kernels)`, async () => {
    const checkpoint = await openCheckpoint(goldenFolder('llama'));
    const runtime = await createRuntime({ kernels, threads: 1 });
    const cache = new ProgramCache(runtime);
    const shape = { batch: 1, sequence: 6 };
    const { hiddenSize } = checkpoint.config;
    const x = randomTensor([6, hiddenSize], noise(5));
    const dy = randomTensor([6, hiddenSize], noise(6));
    const passes = [false, true].map(async (scaleGradient) => {
      const asked = experiment(scaleGradient);
      const final = quantizersOf(asked.quantization, asked.rotation, checkpoint.config);
      const quantizers = learningQuantizersOf(asked, final);
      const network = new Network(cache, checkpoint, {
        mode: 'unrotated',
        ...quantizers,
        maps: NO_MAPS,
        centreEmbedding: false,
      });
      const tape = network.tape(shape);
      tape.residual(0).data.set(x.data);
      await network.record(0, tape);
      const { dx } = await network.layerBackward(0, tape, dy);
      return { y: Array.from(tape.residual(1).data, Number), dx: Array.from(dx.data, Number) };
    });
    const [detached, live] = await Promise.all(passes);
    assert.deepEqual(live!.y, detached!.y);
    assert.ok(live!.dx.every(Number.isFinite));
    assert.notDeepEqual(live!.dx, detached!.dx);
    await cache.release();
    runtime.close();
  });
}
