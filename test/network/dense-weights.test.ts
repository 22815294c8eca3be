/** Rounded weights that are kept as numbers serve a network as those that are kept as codes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import {
  type RoundedLayer,
  type RoundedSource,
  roundedValues,
} from '../../src/engine/network/rounded-weights.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { goldenFolder } from '../model/goldens.ts';

const IDS = Int32Array.of(3, 1, 4, 1, 5, 9);
const WEIGHTS = { bits: 4, symmetric: true, group: 0, clipSearch: false };

test('the same network of codes and of numbers', async () => {
  const runtime = await createRuntime({ threads: 1, kernels: 'composed' });
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const grids: RoundedLayer = recordOf(LINEARS, (linear) => {
    const [rows = 0, columns = 0] = checkpoint.layer(0)[linear].dims;
    const codes = Int8Array.from({ length: rows * columns }, (_, i) => ((i * i + 3 * i) % 15) - 7);
    return { rows, columns, codes, scale: new Float32Array(rows).fill(0.01), zero: new Float32Array(rows) };
  });
  const numbers = recordOf(LINEARS, (linear) => {
    const { rows, columns } = grids[linear];
    return { rows, columns, values: float32([rows, columns], roundedValues(grids[linear])) };
  });
  const logits = async (rounded: RoundedSource): Promise<Float32Array> => {
    const quantizers = { ...FULL_PRECISION, weights: WEIGHTS };
    const options = { mode: 'merged', quantizers, maps: NO_MAPS, centreEmbedding: false, rounded } as const;
    const network = new Network(cache, checkpoint, options);
    let x = await network.embed(IDS);
    for (let layer = 0; layer < network.layers; layer++)
      x = await network.layer(layer, x, { batch: 1, sequence: IDS.length });
    return (await network.logits(x)).data;
  };
  const ofNumbers = await logits({ isDense: true, read: () => numbers });
  assert.ok(ofNumbers.every(Number.isFinite) && ofNumbers.some((value) => value !== 0));
  assert.deepEqual(ofNumbers, await logits({ read: () => grids }));
  await cache.release();
  runtime.close();
});

test('a network with tiles takes codes of grids only', async () => {
  const runtime = await createRuntime({ threads: 1, kernels: 'composed' });
  const cache = new ProgramCache(Object.create(runtime, { multipliesBfloat16: { value: true } }));
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const quantizers = { ...FULL_PRECISION, weights: WEIGHTS };
  const takesCodes = (more: object): boolean => {
    const options = { mode: 'merged', quantizers, maps: NO_MAPS, centreEmbedding: false } as const;
    return new Network(cache, checkpoint, { ...options, ...more }).weightForm === 'codes';
  };
  const read = (): never => assert.fail('nothing is read');
  assert.equal(takesCodes({}), true);
  assert.equal(takesCodes({ rounded: { read } }), true);
  assert.equal(takesCodes({ rounded: { isDense: true, read } }), false);
  assert.equal(takesCodes({ denseWeights: true }), false);
  runtime.close();
});
