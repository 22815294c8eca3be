/** Scales that are learned through the network: what learning reaches, and that it goes on to the same bits. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { learnedScales } from '../../src/config/methods/learned-scales.ts';
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { method } from '../../src/engine/methods/learned-scales.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { withScaleGradient } from '../../src/engine/network/quantizers.ts';
import { NO_MAPS, type SeamState, seamOf, seamsIn, spinQuantState } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { KeptTraining } from '../../src/engine/training/kept-training.ts';
import { learnScales, type ScaleTask } from '../../src/engine/training/scales/learn.ts';
import { TopDivergence } from '../../src/engine/training/top-divergence.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { tinyQuantizers } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

let runtime: Runtime;
let folder: string;
before(async () => {
  runtime = await createRuntime({ kernels: KERNELS.at(-1)!, threads: 1 });
  folder = await mkdtemp(join(tmpdir(), 'scales-'));
});
after(async () => {
  runtime.close();
  await rm(folder, { recursive: true });
});

const SCALES = method.maps;

/** 5 bits and bad scales at all four places of grouped-query attention, so that there is something to gain. */
async function taskOf(name: string): Promise<ScaleTask> {
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder('llama3-scaled-tied'));
  const { config } = checkpoint;
  const rng = new Rng(3);
  const four = tinyQuantizers(config, 16);
  const coarse = recordOf(['input', 'outputInput', 'downInput', 'keys', 'values'], (site) => ({
    ...four[site],
    bits: 5,
  }));
  const quantizers = withScaleGradient({ ...four, ...coarse });
  const { network: turned, rotations } = rotatedNetwork(cache, checkpoint, { mode: 'unrotated', quantizers });
  const network = new Network(cache, checkpoint, {
    ...turned.options,
    maps: { ...turned.options.maps, ...SCALES },
    moving: seamsIn(SCALES),
  });
  const plain = { mode: 'plain', maps: NO_MAPS, quantizers: FULL_PRECISION, centreEmbedding: false } as const;
  return {
    network,
    loss: new TopDivergence(cache, new Network(cache, checkpoint, plain)),
    fixed: spinQuantState(rotations.r1, rotations.r2),
    start: recordOf(seamsIn(SCALES), (seam) =>
      Array.from({ length: config.layers }, () =>
        Float32Array.from({ length: seamOf(seam, config).channels }, () => Math.exp(0.5 * rng.normal())),
      ),
    ),
    blocks: differentWindows(config, 6, 24),
    options: { steps: 12, learningRate: 0.1, batchSize: 4 },
    seed: 1,
    kept: new KeptTraining(join(folder, name), 'key', () => undefined),
  };
}

/** @param steps gets the steps that were done. */
async function learned(task: ScaleTask, steps: number[]): Promise<SeamState> {
  const running = learnScales(task);
  for (;;) {
    const next = await running.next();
    if (next.done) return next.value;
    steps.push(next.value.step);
  }
}

async function divergence({ network, loss, fixed, blocks }: ScaleTask, scales: SeamState): Promise<number> {
  network.setMaps({ ...fixed, ...scales });
  return (await lossAndGradients(network, blocks, 6, undefined, loss)).loss;
}

test('the divergence of the whole text falls, and learning that was stopped goes on to the same bits', async () => {
  const task = await taskOf('whole');
  const whole = await learned(task, []);
  const [before, after] = [await divergence(task, task.start), await divergence(task, whole)];
  assert.ok(after < 0.7 * before, `${before} to ${after}`);
  for (const seam of seamsIn(SCALES))
    for (const [layer, scales] of whole[seam]!.entries()) {
      assert.ok(scales.every((scale) => scale > 0));
      assert.ok(scales.some((scale, j) => scale !== task.start[seam]![layer]![j]));
    }
  const stopped = await taskOf('stopped');
  for await (const { step } of learnScales(stopped)) if (step === 5) break;
  const steps: number[] = [];
  assert.deepEqual(await learned(await taskOf('stopped'), steps), whole);
  assert.deepEqual(steps, [6, 7, 8, 9, 10, 11, 12]);
  // What was learned is there without another step.
  const known = await learnScales(await taskOf('stopped')).next();
  assert.ok(known.done);
  assert.deepEqual(known.value, whole);
});

test('derivatives go by the scales alone', async () => {
  const { network, loss, blocks, fixed, start } = await taskOf('moving');
  network.setMaps({ ...fixed, ...start });
  const { gradients } = await lossAndGradients(network, blocks, 6, undefined, loss);
  assert.deepEqual(seamsIn(gradients), seamsIn(SCALES));
  // A factor of all channels that share a grid changes nothing: slopes of logarithms add up to 0, in float32.
  for (const seam of ['attention-norm', 'mlp-norm', 'up-scale'] as const)
    for (const [layer, slopes] of gradients[seam]!.entries()) {
      const sum = slopes.reduce((total, slope, j) => total + slope * start[seam]![layer]![j]!, 0);
      const size = slopes.reduce((total, slope) => total + Math.abs(slope), 0);
      assert.ok(size > 0 && Math.abs(sum) < 1e-3 * size, `${seam} ${layer}: ${sum} of ${size}`);
    }
});

test('scales behind norms stand where they are asked for', () => {
  const { options: schema } = learnedScales;
  const options = schema.parse(undefined);
  assert.deepEqual(learnedScales.uses(options), ['value-scale', 'up-scale']);
  assert.deepEqual(learnedScales.uses({ ...options, norms: true, values: false }), [
    'attention-norm',
    'mlp-norm',
    'up-scale',
  ]);
});

test('a job learns the scales that are asked for, and the full-precision function stays', async () => {
  const short = await shortExperiment(demoFolder(), { weights: { method: 'rtn' } });
  const rotation = { ...short.rotation, r1: 'hadamard', r2: 'hadamard' } as const;
  const options = { ...short.scaling['learned-scales'], steps: 2, batchSize: 2 };
  const scaling = { ...short.scaling, method: 'learned-scales', 'learned-scales': options } as const;
  const { events } = await collect(evaluateExperiment({ ...short, rotation, scaling }, {}));
  const kept = events.filter((event) => event.type === 'preservation');
  assert.ok(kept.some(({ where }) => where === 'channel scales'));
  for (const { relative, tolerance } of kept) assert.ok(relative <= tolerance);
  const told = events.filter((event) => event.type === 'rounding-progress');
  assert.deepEqual(
    told.filter((event) => event.method === 'learned-scales').map(({ done }) => done),
    [0.5, 1],
  );
});
