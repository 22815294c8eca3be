/** Scales that were searched for long: kept in a run, found by their key alone, searched again where they are damaged. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { resolveExperiment } from '../../src/config/index.ts';
import { method } from '../../src/engine/methods/awq.ts';
import { seamOf } from '../../src/engine/network/seams.ts';
import { stepsOf } from '../../src/engine/plan/describe-plan.ts';
import { readScales, writeScales } from '../../src/engine/plan/kept-scales.ts';
import { RUN_FILES } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { benchOf, executorOf } from '../helpers/plan-steps.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

const folder = mkdtempSync(join(tmpdir(), 'scales-test-'));
after(() => rmSync(folder, { recursive: true }));

const SEAMS = ['attention-norm', 'mlp-norm', 'value', 'up-down'] as const;
type Sizes = typeof TINY_CONFIG;

function scalesOf(config: Sizes) {
  const factors = (size: number, layer: number) =>
    Float32Array.from({ length: size }, (_, i) => i + layer + 0.5);
  return Object.fromEntries(
    SEAMS.map((seam) => {
      const { channels, count } = seamOf(seam, config);
      return [seam, Array.from({ length: count }, (_, layer) => factors(channels, layer))];
    }),
  );
}

test('scales are read as they were written, with their key, and for the same sizes', async () => {
  const path = join(folder, 'whole.safetensors');
  const state = scalesOf(TINY_CONFIG);
  assert.equal(readScales(path, 'key', method.maps, TINY_CONFIG), null);
  await writeScales(path, 'key', state);
  assert.deepEqual(readScales(path, 'key', method.maps, TINY_CONFIG), state);
  assert.equal(readScales(path, 'another', method.maps, TINY_CONFIG), null);
  assert.equal(readScales(path, 'key', method.maps, { ...TINY_CONFIG, layers: 3 }), null);
  assert.equal(readScales(path, 'key', method.maps, { ...TINY_CONFIG, kvHeads: 4 }), null);
});

test('what no map can have, and what is no whole file, is as if nothing were there', async () => {
  const path = join(folder, 'odd.safetensors');
  for (const odd of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
    const state = scalesOf(TINY_CONFIG);
    state.value![1]![3] = odd;
    await writeScales(path, 'key', state);
    assert.equal(readScales(path, 'key', method.maps, TINY_CONFIG), null, String(odd));
  }
  await writeScales(path, 'key', scalesOf(TINY_CONFIG));
  const { length } = readFileSync(path);
  for (const size of [length - 1, 100, 3, 0]) {
    truncateSync(path, size);
    assert.equal(readScales(path, 'key', method.maps, TINY_CONFIG), null, `${size} bytes`);
  }
  writeFileSync(path, 'no tensors');
  assert.equal(readScales(path, 'key', method.maps, TINY_CONFIG), null);
});

test('the step of a plan takes scales of another run by its key', async () => {
  const old = await resolveExperiment(join(oldRunsFolder(), 'gptq.spinquant.json'), 'optimize');
  const experiment = {
    ...old,
    scaling: { ...old.scaling, method: 'awq' as const },
    rotation: { ...old.rotation, r1: 'none' as const, r2: 'none' as const, r4: false },
  };
  const bench = await benchOf(experiment);
  const run = join(folder, 'run');
  mkdirSync(run);
  const find = async () => {
    const executor = executorOf(bench, [run]);
    const step = (await stepsOf(experiment, 'evaluate')).find(({ name }) => name === 'awq')!;
    for (const input of step.inputs) await collect(executor.execute(input));
    const key = await executor.keyOf(step);
    return { key, found: await step.find!(executor, key) };
  };
  const { key, found } = await find();
  assert.equal(found, null);
  const state = scalesOf(bench.checkpoint.config);
  await writeScales(join(run, RUN_FILES.scales), key, state);
  assert.deepEqual((await find()).found, state);
});
