/** What a plan says of time and memory before anything has run. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { METHODS, type ResolvedExperiment, ROWS } from '../../src/config/index.ts';
import { loadExperiment, previewMatrix, previewSteps, runMatrix } from '../../src/engine/index.ts';
import { readConfigFile } from '../../src/engine/model/config.ts';
import { headForward, layerForward } from '../../src/engine/network/work.ts';
import { Estimates } from '../../src/engine/plan/estimate/estimates.ts';
import { secondsOf } from '../../src/engine/plan/estimate/machine.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const KERNELS = { kernels: 'composed' } as const;
/** It computes a product, a byte and a run in a second each. */
const MACHINE = { flopsPerSecond: 1, bytesPerSecond: 1, secondsPerCall: 1 };

function write(more: object): Promise<ResolvedExperiment> {
  const file = join(folder, 'estimates.spinquant.json');
  const text = {
    model: 'model',
    calibration: { text: 'calibration.txt', samples: 8, sequenceLength: 32 },
    rotation: { learning: { steps: 2, batchSize: 2 } },
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 32, maxWindows: 2 }] },
    device: 'cpu',
    threads: 1,
    runs: 'estimates-runs',
    ...more,
  };
  writeFileSync(file, JSON.stringify(text));
  return loadExperiment(file, 'optimize');
}

const stepsOf = async (more: object) =>
  (await collect(previewMatrix(await write(more), KERNELS))).result.steps;

test('products of a layer and of the output layer are counted as they are multiplied', () => {
  const { config } = readConfigFile(join(folder, 'model'));
  const text = { sequences: 3, length: 10 };
  const shapes = [
    [64, 32], // q
    [32, 32],
    [32, 32],
    [32, 64], // o
    [48, 32],
    [48, 32],
    [32, 48],
  ] as const;
  let products = 0;
  for (const [rows, columns] of shapes) products += 30 * 2 * rows * columns;
  // Scores and sums of values over 4 heads of 16, half of 10 tokens each.
  products += 30 * 2 * (2 * 5 * 64);
  assert.equal(layerForward(config, text, false).flops, products);
  assert.equal(headForward(config, 30).flops, 30 * 2 * config.vocabSize * 32);
  assert.ok(layerForward(config, text, true).bytes > layerForward(config, text, false).bytes);
});

test('every step of every method has an estimate before anything has run', async () => {
  // Methods that no row of the product has.
  const rows = [
    { name: 'balanced', like: 'peak-gptq', settings: { scaling: { method: 'balance' } } },
    { name: 'scaled', like: 'peak-gptq', settings: { scaling: { method: 'learned-scales' } } },
    {
      name: 'flat',
      like: 'peak-gptq',
      settings: { rotation: { r4: false }, scaling: { method: 'flatquant' } },
    },
  ];
  const methods = [...ROWS, ...rows].map(({ name }) => name);
  const scaling = { smoothquant: { alpha: 'search' } };
  const matrix = { bits: ['4-16-16', '4-4-4'], methods, rows, statistics: true };
  const steps = await stepsOf({ scaling, matrix });
  assert.ok(steps.length > 20);
  for (const { name, seconds, peakBytes, isEstimate, isThere } of steps) {
    assert.ok(isEstimate && !isThere, name);
    assert.ok(Number.isFinite(seconds) && seconds > 0, `${name}: ${seconds} s`);
    assert.ok(Number.isFinite(peakBytes) && peakBytes > 2 ** 27, `${name}: ${peakBytes} B`);
  }
  const names = new Set(steps.map(({ name }) => name));
  // Rounding to nearest is done by the network itself.
  const expected = METHODS.map(({ name }) => name).filter((name) => name !== 'rtn');
  for (const name of [...expected, 'learn', 'preserved', 'perplexity', 'statistics', 'written'])
    assert.ok(names.has(name), name);
});

test('an estimate follows the settings of its step', async () => {
  const matrix = { bits: ['4-4-4'], methods: ['omniquant', 'llm-qat', 'spinquant-had-gptq'] };
  // Every step takes a tenth of a second to begin, which is left out here.
  const begin = 0.1;
  const worksOf = async (more: object) => {
    const steps = await stepsOf({ matrix, ...more });
    return (name: string) => Math.max(...steps.filter((s) => s.name === name).map((s) => s.seconds)) - begin;
  };
  const few = await worksOf({});
  const many = await worksOf({
    quantization: { weights: { omniquant: { epochs: 200 } } },
    training: { 'llm-qat': { steps: 320 } },
    rotation: { learning: { steps: 20, batchSize: 2 } },
  });
  const ratio = (name: string) => many(name) / few(name);
  // Ten times the epochs, steps and steps; 32 steps were 256 samples in batches of eight.
  for (const name of ['omniquant', 'llm-qat', 'learn'])
    assert.ok(ratio(name) > 5 && ratio(name) < 20, `${name}: ${ratio(name)}`);
});

test('an estimate of GPTQ counts what is added to it', async () => {
  const matrix = { bits: ['4-4-4'], methods: ['hadamard-had-gptq'] };
  const seconds = async (gptq: object) => {
    const steps = await stepsOf({ matrix, quantization: { weights: { gptq } } });
    return steps.find(({ name }) => name === 'gptq')!.seconds;
  };
  const plain = await seconds({});
  for (const more of [
    { sweeps: 100 },
    { target: 'outputs' },
    { target: 'gptaq' },
    { magr: 0.01 },
    { learnedClip: true },
  ])
    assert.ok((await seconds(more)) > plain, JSON.stringify(more));
  assert.equal(await seconds({ foem: 0.1 }), plain);
});

test('steps that ran scale those of their name, and the middle one of all names those of others', () => {
  const work = (flops: number) => ({ flops, bytes: 0, calls: 0 });
  const ran = (name: string, slower: number) => ({
    name,
    work: work(5),
    seconds: slower * secondsOf(work(5), MACHINE),
  });
  const none = new Estimates(MACHINE, []);
  assert.equal(none.seconds('gptq', work(7)), secondsOf(work(7), MACHINE));
  const some = new Estimates(MACHINE, [
    ran('gptq', 2),
    ran('gptq', 9),
    ran('gptq', 3),
    ran('quip', 5),
    ran('awq', 4),
  ]);
  assert.equal(some.seconds('gptq', work(7)), 3 * secondsOf(work(7), MACHINE));
  assert.equal(some.seconds('omniquant', work(7)), 4 * secondsOf(work(7), MACHINE));
});

test('what ran is told as it was, and counts for other experiments in the same folder of runs', async () => {
  const matrix = { bits: ['4-4-4'], methods: ['rtn'] };
  await collect(runMatrix(await write({ matrix }), KERNELS));
  const [first] = await stepsOf({ matrix });
  assert.deepEqual([first?.isThere, first?.isEstimate], [true, false]);
  const steps = join(folder, 'estimates-runs', '.steps');
  for (const name of readdirSync(steps).filter((entry) => entry.length === 32)) {
    const record = JSON.parse(readFileSync(join(steps, name, 'step.json'), 'utf8'));
    assert.ok(record.work.flops > 0);
    // As if this machine had been a thousand times slower.
    writeFileSync(join(steps, name, 'step.json'), JSON.stringify({ ...record, seconds: 3600 }));
  }
  const alone = (await collect(previewSteps(await write({}), 'optimize', KERNELS))).result.steps;
  const perplexity = alone.find(({ name }) => name === 'perplexity');
  assert.ok((perplexity?.seconds ?? 0) > 600);
  assert.equal(alone.find(({ name }) => name === 'texts')?.seconds, null);
});
