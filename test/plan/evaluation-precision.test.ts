/** An evaluation in bfloat16: what it moves, what results say of it, and that no number of float32 stands beside it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { evaluateExperiment, optimizeRotation } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import type { NetworkOptions } from '../../src/engine/network/network-options.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { EvaluationPrecision } from '../../src/protocol/precision.ts';
import { openRun, type PerplexityResult } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';

const folder = demoFolder();

/** A number of 8 bits is off by at most this part of itself. */
const ONE_PIECE = 2 ** -8;
/** Products behind each other in a layer of the original network: q or k, scores, values, o, gate or up, and down. */
const PRODUCTS = 6;

/** The cache of a runtime that multiplies bfloat16; null where the processor does not. */
async function roundingCache(context: TestContext): Promise<ProgramCache | null> {
  const cache = new ProgramCache(await createRuntime({ threads: 2 }));
  if (cache.abilities.roundedProducts || cache.abilities.bfloat16Products) return cache;
  context.skip('the processor does not multiply bfloat16');
  return null;
}

async function asked(precision: EvaluationPrecision): Promise<ResolvedExperiment> {
  const short = await shortExperiment(folder, { weights: { method: 'rtn' }, learning: { steps: 1 } });
  return { ...short, evaluation: { ...short.evaluation, precision } };
}

async function original(precision: EvaluationPrecision): Promise<PerplexityResult> {
  const job = evaluateExperiment(await asked(precision), { variants: ['full-precision'] });
  return (await collect(job)).result.perplexity[0]!;
}

test('bfloat16 moves the loss by no more than its products, and results tell it', async (context) => {
  if (!(await roundingCache(context))) return;
  const [exact, rounded] = [await original('float32'), await original('bfloat16')];
  assert.equal(exact.precision, undefined);
  assert.equal(rounded.precision, 'bfloat16');
  const { layers } = (await openCheckpoint(join(folder, 'model'))).config;
  const [a, b] = [exact.meanLoss!.fullPrecision!, rounded.meanLoss!.fullPrecision!];
  assert.notEqual(a, b, 'it is computed in bfloat16');
  assert.ok(Math.abs(a - b) <= (PRODUCTS * layers + 1) * ONE_PIECE * a, `${b} for ${a}`);
});

test('weights may be prepared in float32 whatever the precision is', async (context) => {
  const cache = await roundingCache(context);
  if (!cache) return;
  const checkpoint = await openCheckpoint(join(folder, 'model'));
  const residual = [Float32Array.from(haarRotation(checkpoint.config.hiddenSize, new Rng(5)))];
  const weights = async (options: Pick<NetworkOptions, 'precision' | 'weightPrecision'>) => {
    const network = new Network(cache, checkpoint, {
      mode: 'merged',
      quantizers: FULL_PRECISION,
      maps: spinQuantMaps({ r1: true, r2: false, r3: null, r4: null }),
      centreEmbedding: false,
      ...options,
    });
    network.setMaps({ residual });
    return network.weights(0, { batch: 1, sequence: 8 });
  };
  const exact = await weights({});
  assert.deepEqual(await weights({ precision: 'bfloat16-all', weightPrecision: 'float32' }), exact);
  assert.notDeepEqual(await weights({ precision: 'bfloat16-all' }), exact);
});

test('numbers of another precision are not put beside each other in a run', async () => {
  const { result } = await collect(optimizeRotation(await asked('float32'), {}));
  const again = await asked('bfloat16');
  await collect(evaluateExperiment(again, { runDir: result.run, variants: ['quantized'] }));
  const [kept] = (await (await openRun(result.run)).readResults()).perplexity;
  assert.equal(kept?.precision, 'bfloat16');
  assert.equal(kept.fullPrecision, null);
  await collect(evaluateExperiment(again, { runDir: result.run, variants: ['full-precision'] }));
  const [both] = (await (await openRun(result.run)).readResults()).perplexity;
  assert.equal(both?.quantized, kept.quantized);
  assert.notEqual(both.fullPrecision, null);
});
