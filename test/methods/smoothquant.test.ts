/** SmoothQuant: its scales against the paper's formula in loops, and what they do to a network and to a whole job. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { method } from '../../src/engine/methods/smoothquant.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION, type LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import {
  NO_MAPS,
  type SeamMaps,
  type SeamState,
  spinQuantMaps,
  spinQuantState,
} from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import type { ScalingEvent } from '../../src/protocol/events.ts';
import type { Tensor } from '../../src/protocol/tensor.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { scalesBy } from '../helpers/scaling.ts';
import { tinyQuantizers } from '../helpers/tiny-network.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

const EPSILON = 2 ** -23;

interface Bench {
  readonly cache: ProgramCache;
  readonly checkpoint: Checkpoint;
}

async function withModel(name: string, kernels: 'native' | 'composed', use: (bench: Bench) => Promise<void>) {
  const runtime = await createRuntime({ kernels, threads: 1 });
  const cache = new ProgramCache(runtime);
  await use({ cache, checkpoint: await openCheckpoint(goldenFolder(name)) });
  await cache.release();
  runtime.close();
}

function networkOf({ cache, checkpoint }: Bench, maps: SeamMaps, state: SeamState): Network {
  const mode = maps === NO_MAPS ? 'plain' : 'merged';
  const network = new Network(cache, checkpoint, {
    mode,
    maps,
    quantizers: FULL_PRECISION,
    centreEmbedding: false,
  });
  network.setMaps(state);
  return network;
}

function scalesOf(
  bench: Bench,
  alpha: number,
  maps: SeamMaps = NO_MAPS,
  state: SeamState = {},
): Promise<SeamState> {
  const network = networkOf(bench, NO_MAPS, {});
  const blocks = differentWindows(bench.checkpoint.config, 3, 12);
  const work = { cache: bench.cache, network, maps, state, blocks, options: { alpha, samples: 3 } };
  return scalesBy(method, work);
}

const numbers = (tensor: Tensor): Float32Array =>
  tensor.kind === 'file' ? toFloat32(tensor) : (tensor.data as Float32Array);

/** Equation 4 of the paper on the first layer's attention, gains where the checkpoint has them. */
function firstScales({ checkpoint }: Bench, alpha: number): Float64Array {
  const { hiddenSize: d, rmsNormEps } = checkpoint.config;
  const table = numbers(checkpoint.embedding);
  const { inputNorm, q, k, v } = checkpoint.layer(0);
  const gain = numbers(inputNorm);
  const [activations, weights] = [new Float64Array(d), new Float64Array(d)];
  for (const id of differentWindows(checkpoint.config, 3, 12).flatMap((ids) => [...ids])) {
    const row = Float64Array.from(table.subarray(id * d, (id + 1) * d));
    const rms = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / d + rmsNormEps);
    row.forEach((x, j) => {
      activations[j] = Math.max(activations[j]!, Math.abs((x / rms) * gain[j]!));
    });
  }
  for (const weight of [q, k, v])
    numbers(weight).forEach((w, index) => {
      weights[index % d] = Math.max(weights[index % d]!, Math.abs(w));
    });
  return activations.map((a, j) => a ** alpha / weights[j]! ** (1 - alpha));
}

for (const kernels of KERNELS) {
  test(`${kernels}: scales are those of the paper`, () =>
    withModel('llama', kernels, async (bench) => {
      const gain = numbers(bench.checkpoint.layer(0).inputNorm);
      for (const alpha of [0, 0.3, 0.5, 0.85, 1]) {
        const factors = (await scalesOf(bench, alpha))['attention-norm']![0]!;
        const expected = firstScales(bench, alpha);
        // A channel is multiplied by gain / s: two roundings of maxima, a few of the norm before them.
        factors.forEach((factor, j) => {
          const wanted = Math.abs(gain[j]!) / expected[j]!;
          assert.ok(Math.abs(factor - wanted) <= 16 * EPSILON * wanted, `α ${alpha}, channel ${j}`);
        });
      }
    }));

  test(`${kernels}: at every norm α weighs the same two maxima, with a rotation too`, () =>
    withModel('qwen2', kernels, async (bench) => {
      const { hiddenSize: hidden, headDim, layers } = bench.checkpoint.config;
      const { r1 } = drawRotations({ hidden, headDim, layers }, { r1: 'random', r2: null }, new Rng(3));
      const rotated = {
        maps: spinQuantMaps({ r1: true, r2: false, r3: null, r4: null }),
        state: spinQuantState(r1, null),
      };
      for (const { maps, state } of [{ maps: NO_MAPS, state: {} }, rotated]) {
        const at = (alpha: number) => scalesOf(bench, alpha, maps, state);
        const [weights, half, activations] = [await at(0), await at(0.5), await at(1)];
        for (const norm of ['attention-norm', 'mlp-norm'] as const)
          half[norm]!.forEach((factors, layer) => {
            factors.forEach((factor, j) => {
              // α = 0 gives max|W|, α = 1 gives 1/max|x|, and a half their geometric mean.
              const wanted = Math.sqrt(weights[norm]![layer]![j]! * activations[norm]![layer]![j]!);
              assert.ok(Math.abs(factor - wanted) <= 8 * EPSILON * wanted, `${norm} ${layer} ${j}`);
            });
          });
      }
    }));
}

test('the search takes the strength with the least error of each layer', () =>
  withModel('llama', KERNELS.at(-1)!, async (bench) => {
    const { config } = bench.checkpoint;
    const blocks = differentWindows(config, 3, 12);
    const merged = (quantizers: LayerQuantizers, maps: SeamMaps) =>
      new Network(bench.cache, bench.checkpoint, {
        mode: 'merged',
        maps,
        quantizers,
        centreEmbedding: false,
      });
    const searched = async (quantizers: LayerQuantizers) => {
      const events: ScalingEvent[] = [];
      const networks = { exact: merged(FULL_PRECISION, NO_MAPS), quantized: merged(quantizers, method.maps) };
      const scales = await scalesBy(
        method,
        {
          ...{ cache: bench.cache, network: networkOf(bench, NO_MAPS, {}), maps: NO_MAPS, state: {}, blocks },
          options: { alpha: 'search', samples: 3 },
          merged: () => networks,
        },
        { see: (event) => event.type === 'scaling' && events.push(event) },
      );
      return { events, scales };
    };
    const quantizers = tinyQuantizers(config, 4);
    const { events, scales } = await searched(quantizers);
    assert.deepEqual(
      events.map(({ layer, layers }) => [layer, layers]),
      Array.from({ length: config.layers }, (_, layer) => [layer, config.layers]),
    );
    // The first layer again, with networks of the test's own: the norm of attention beside a half at the other.
    const half = await scalesOf(bench, 0.5);
    const [exact, quantized] = [merged(FULL_PRECISION, NO_MAPS), merged(quantizers, method.maps)];
    const alphas = Array.from({ length: 21 }, (_, i) => i / 20);
    const errors: number[] = [];
    for (const alpha of alphas) {
      quantized.setMaps({ ...half, 'attention-norm': (await scalesOf(bench, alpha))['attention-norm']! });
      let [error, size] = [0, 0];
      for (const ids of blocks) {
        const x = await exact.embed(ids);
        const shape = { batch: 1, sequence: ids.length };
        const [wanted, found] = [await exact.layer(0, x, shape), await quantized.layer(0, x, shape)];
        wanted.data.forEach((y, i) => {
          error += (found.data[i]! - y) ** 2;
          size += y ** 2;
        });
      }
      errors.push(error / size);
    }
    const [first] = events[0]!.choices;
    const least = Math.min(...errors);
    assert.deepEqual([first!.seam, first!.alpha], ['attention-norm', alphas[errors.indexOf(least)]]);
    // Sums of so many squares in another order.
    const terms = blocks.length * 12 * config.hiddenSize;
    assert.ok(Math.abs(first!.error - least) <= 2 * terms * 2 ** -53 * least);
    assert.ok(Math.max(...errors) > 1.1 * first!.error, 'the strength matters');
    const chosen = await scalesOf(bench, first!.alpha);
    assert.deepEqual(scales['attention-norm']![0], chosen['attention-norm']![0]);
    assert.ok(events.every(({ choices: [one, two] }) => two!.error <= one!.error));
    const differ = new Set(events.flatMap(({ choices }) => choices.map(({ alpha }) => alpha)));
    assert.ok(differ.size > 1, 'norms differ');
  }));

for (const name of GOLDEN_NAMES)
  test(`${name}: scaled networks compute what they computed, alone and rotated`, () =>
    withModel(name, KERNELS.at(-1)!, async (bench) => {
      const golden = readGolden(name);
      const { hiddenSize: hidden, headDim, layers } = bench.checkpoint.config;
      const drawn = drawRotations({ hidden, headDim, layers }, { r1: 'random', r2: 'random' }, new Rng(4));
      const rotations = spinQuantState(drawn.r1, drawn.r2);
      const rotated = spinQuantMaps({ r1: true, r2: true, r3: null, r4: null });
      for (const { maps, state } of [
        { maps: {}, state: {} },
        { maps: rotated, state: rotations },
      ]) {
        const scales = await scalesOf(bench, 0.7, maps, state);
        const network = networkOf(bench, { ...maps, ...method.maps }, { ...state, ...scales });
        const logits = await sequenceLogits(network, Int32Array.from(golden.ids));
        const difference = golden.logits
          .flat()
          .reduce((most, one, i) => Math.max(most, Math.abs(one - logits[i]!)), 0);
        // As in golden-logits.test.ts: each product more at a site may add as much as transformers' own float32 pass.
        assert.ok(difference <= 4 * golden.float32MaxDifference, `${difference}`);
      }
    }));

const folder = demoFolder();

test('without rotations it lowers the perplexity of rounding, and its weights serve GPTQ too', async () => {
  const changes = { rotation: { r1: 'none', r2: 'none', r3: false, r4: false } } as const;
  const measure = async (
    scaling: 'none' | 'smoothquant',
    rounding: 'rtn' | 'gptq',
    alpha: number | 'search' = 0.5,
  ) => {
    const base = await shortExperiment(folder, { ...changes, weights: { method: rounding } });
    const { smoothquant } = base.scaling;
    const experiment = {
      ...base,
      scaling: { ...base.scaling, method: scaling, smoothquant: { ...smoothquant, alpha } },
    };
    const { events, result } = await collect(evaluateExperiment(experiment, { variants: ['quantized'] }));
    return { events, perplexity: result.perplexity[0]!.quantized!, runs: experiment.runs };
  };
  const [nearest, smooth] = [await measure('none', 'rtn'), await measure('smoothquant', 'rtn')];
  assert.ok(smooth.perplexity < nearest.perplexity / 10, `${smooth.perplexity}, ${nearest.perplexity}`);
  const preserved = smooth.events.find((event) => event.type === 'preservation');
  assert.ok(preserved?.type === 'preservation' && preserved.relative <= preserved.tolerance);
  const search = await measure('smoothquant', 'rtn', 'search');
  assert.equal(search.events.filter(({ type }) => type === 'scaling').length, 5);
  assert.ok(search.perplexity < nearest.perplexity / 10, `${search.perplexity}, ${nearest.perplexity}`);
  const gptq = await measure('smoothquant', 'gptq');
  assert.equal(gptq.events.filter(({ type }) => type === 'rounding').length, 5);
  assert.ok(gptq.perplexity < nearest.perplexity / 10);
  assert.deepEqual(
    readdirSync(gptq.runs).filter((name) => name.startsWith('.')),
    [],
    'nothing is left',
  );
});
