/**
 * The network with a gate at each rounding: at full precision with all gates 0, quantized with all gates 1, and between
 * them its derivatives are those of finite differences, in which the loss is summed again by other programs.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { estimate } from '../../src/engine/attribution/estimate.ts';
import { evenGates } from '../../src/engine/attribution/gated-layer.ts';
import { GatedNetwork, predicted, sequencesOf } from '../../src/engine/attribution/gated-network.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { deployedGolden } from '../helpers/deployed-golden.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder } from '../model/goldens.ts';

let runtimes: readonly Runtime[];
before(async () => {
  runtimes = await Promise.all(KERNELS.map((kernels) => createRuntime({ kernels, threads: 1 })));
});
after(() => {
  for (const runtime of runtimes) runtime.close();
});

const SETTING = { activations: 4, cache: 4, online: true, weights: { clip: true } } as const;

async function networks(cache: ProgramCache, name: string) {
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const exactly = { ...FULL_PRECISION };
  const exact = deployedGolden(cache, checkpoint, SETTING, { quantizers: exactly });
  const quantized = deployedGolden(cache, checkpoint, SETTING, { denseWeights: true });
  const group = sequencesOf(differentWindows(checkpoint.config, 2, 12));
  return { exact, quantized, group, network: new GatedNetwork(cache, { exact, quantized }) };
}

/** Sums of float32 in another order: a dozen operations of a layer, two layers, sums of up to 48 products. */
const ROUNDING = 2 * 4 * 12 * Math.sqrt(48) * 2 ** -23;

for (const name of ['llama-biases-linear', 'qwen3'] as const) {
  test(`${name}: closed gates are full precision, open ones the quantized network`, async () => {
    for (const runtime of runtimes) {
      const cache = new ProgramCache(runtime);
      const { exact, quantized, group, network } = await networks(cache, name);
      assert.equal(network.parts(0).length, 13);
      for (const [gates, own] of [
        [0, exact],
        [1, quantized],
      ] as const) {
        const x = await network.embed(group);
        const [y, expected] = [
          await network.layer(0, x, group, evenGates(gates)),
          await layerOf(own, x, group),
        ];
        const most = Math.max(...expected.map(Math.abs));
        const far = Math.max(...y.data.map((value, i) => Math.abs(value - expected[i]!)));
        assert.ok(far <= ROUNDING * most, `${gates}: ${far} of ${most}`);
      }
      await cache.release();
    }
  });
}

async function layerOf(
  network: Network,
  x: Awaited<ReturnType<Network['embed']>>,
  { shape }: ReturnType<typeof sequencesOf>,
): Promise<Float32Array> {
  return (await network.layer(0, x, shape)).data;
}

test('at full precision, derivatives by gates are those of finite differences', async () => {
  for (const runtime of runtimes) {
    const cache = new ProgramCache(runtime);
    const { group, network } = await networks(cache, 'llama-biases-linear');
    const { layers } = await network.derivatives(group, 0, 1 / predicted(group));
    const STEP = 0.05;
    let largest = 0;
    const pairs: [found: number, expected: number, what: string][] = [];
    for (let layer = 0; layer < network.layers; layer++) {
      const residuals = await network.residuals(group, 0);
      for (const part of network.parts(layer)) {
        const lossAt = async (gate: number): Promise<number> => {
          const y = await network.layer(layer, residuals[layer]!, group, { ...evenGates(0), [part]: gate });
          return network.loss(layer + 1, y, group, 'exact');
        };
        const expected = ((await lossAt(STEP)) - (await lossAt(-STEP))) / (2 * STEP);
        const found = layers[layer]![part]!.reduce((sum, value) => sum + value, 0);
        largest = Math.max(largest, Math.abs(expected));
        pairs.push([found, expected, `${part} of layer ${layer}`]);
      }
    }
    // The third derivative along an error and the last bits of a loss of 4 nats: both are below 1 % of the largest.
    for (const [found, expected, what] of pairs)
      assert.ok(Math.abs(found - expected) < 0.01 * largest, `${what}: ${found} for ${expected}`);
    await cache.release();
  }
});

test('shares add up to the whole rise, and what is not rounded has none', async () => {
  for (const runtime of runtimes) {
    const cache = new ProgramCache(runtime);
    const checkpoint = await openCheckpoint(goldenFolder('qwen2'));
    const settings = { ...SETTING, activations: 8, cache: 16 } as const;
    const exact = deployedGolden(cache, checkpoint, settings, { quantizers: FULL_PRECISION });
    const quantized = deployedGolden(cache, checkpoint, settings, { denseWeights: true });
    const network = new GatedNetwork(cache, { exact, quantized });
    const groups = [sequencesOf(differentWindows(checkpoint.config, 6, 24))];
    const estimating = estimate(network, groups);
    let next = await estimating.next();
    while (!next.done) next = await estimating.next();
    const { cells, loss } = next.value;
    assert.deepEqual([...new Set(cells.map(({ part }) => part))].slice(0, 3), [
      'attention-input',
      'o-input',
      'mlp-input',
    ]);
    assert.equal(cells.length, 2 * (4 + 7));
    const [whole, sum] = [
      loss.quantized - loss.fullPrecision,
      cells.reduce((all, { share }) => all + share, 0),
    ];
    // Simpson's rule is exact up to the third power of the gates; errors of 4-bit weights are small here.
    assert.ok(Math.abs(sum - whole) < 0.1 * Math.abs(whole), `${sum} of ${whole}`);
    await cache.release();
  }
});
