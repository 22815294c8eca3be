import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { learningWeightBits, parseExperiment } from '../../src/config/index.ts';
import { cellsOf } from '../../src/config/matrix/expand.ts';
import { PRESET_NAMES } from '../../src/config/matrix/presets.ts';
import { experimentText, PRESETS, type PresetName } from '../../src/extension/experiments/presets.ts';
import { TABLES, tableText } from '../../src/extension/experiments/table-presets.ts';
import { judge } from '../../src/extension/gate/model.ts';
import { labelsPath, readAnnotation, writeAnnotation } from '../../src/extension/runs/annotations.ts';

const BOTH_TEXTS = { model: 'm', train: 't', test: 't', maxPositions: 4096 };
const presetOf = (preset: PresetName) =>
  parseExperiment(experimentText({ ...BOTH_TEXTS, preset }), '/x').experiment!;

test('every preset is an experiment without errors, cut to what the model was made for', () => {
  for (const preset of PRESETS) {
    const choices = { preset, model: 'models/"m"', train: 'data/train.txt', test: 'data/test.txt' };
    const { experiment, faults } = parseExperiment(experimentText({ ...choices, maxPositions: 512 }), '/x');
    assert.deepEqual(faults, [], preset);
    assert.equal(experiment?.model, 'models/"m"');
    assert.equal(experiment?.calibration.sequenceLength, preset === 'quick' ? 256 : 512);
    assert.equal(experiment?.evaluation.perplexity[0]?.name, 'test');
    const bare = experimentText({
      ...choices,
      train: null,
      test: null,
      maxPositions: Number.POSITIVE_INFINITY,
    });
    const { faults: missing } = parseExperiment(bare, '/x');
    assert.deepEqual(
      missing.map(({ code }) => code),
      ['config/no-calibration-text'],
    );
  }
  for (const preset of PRESETS) assert.equal(presetOf(preset).quantization.weights.method, 'gptq', preset);
  const faithful = presetOf('faithful');
  const { steps, batchSize, learningRate } = faithful.rotation.learning;
  assert.deepEqual([steps, batchSize, learningRate, faithful.calibration.samples], [100, 8, 1.5, 800]);
  assert.equal(presetOf('no-had').rotation.learning.objective, 'cross-entropy');
  assert.equal(learningWeightBits(faithful), 16, 'as the paper learns before GPTQ');
});

test('the quick preset learns from captured activations, at the defaults of its objective', () => {
  const text = experimentText({ ...BOTH_TEXTS, preset: 'quick' });
  assert.match(text, /"weights": \{ "bits": 4, "method": "gptq" \}/);
  assert.match(text, /"start": "hadamard",\n {4}"learning": \{ "objective": "peak" \}\n/);
  const { start, learning } = presetOf('quick').rotation;
  assert.deepEqual(
    [start, learning.objective, learning.optimizer, learning.steps, learning.learningRate],
    ['hadamard', 'peak', 'lie-adam', 200, 0.02],
  );
});

test('the preset for vLLM is what compressed-tensors computes', () => {
  const { quantization, rotation } = presetOf('vllm-w4a4');
  const { bits, symmetric, fullRange, clipRatio, groupSize } = quantization.activations;
  assert.deepEqual([bits, symmetric, fullRange, clipRatio, groupSize], [4, true, true, 1, null]);
  assert.deepEqual([quantization.keys.bits, quantization.values.bits], [16, 16]);
  const { r3, r4, r4Blocks, learning } = rotation;
  assert.deepEqual([r3, r4, r4Blocks, learning.objective], [false, true, 'power-of-two', 'peak']);
});

test('the best preset is the row that tables have for it', () => {
  const { quantization, rotation } = presetOf('best');
  const text = tableText('quick', BOTH_TEXTS).replace('"peak-gptq"', '"best"');
  const { experiment } = parseExperiment(text, '/x');
  const cells = cellsOf(JSON.parse(text), experiment!.matrix!);
  const cell = cells.find(({ method, bits }) => method === 'best' && bits === '4-4-4')!;
  assert.deepEqual(quantization, cell.experiment.quantization);
  assert.deepEqual(rotation, cell.experiment.rotation);
});

test('every table to start from is an experiment without errors, with the matrix that it names', () => {
  assert.deepEqual(TABLES, ['quick', ...PRESET_NAMES]);
  for (const table of TABLES) {
    const { experiment, faults } = parseExperiment(
      tableText(table, { ...BOTH_TEXTS, maxPositions: 512 }),
      '/x',
    );
    assert.deepEqual(
      faults.filter(({ severity }) => severity === 'error'),
      [],
      table,
    );
    const { matrix, calibration, evaluation } = experiment!;
    assert.equal(matrix?.preset ?? 'quick', table);
    assert.equal(calibration.sequenceLength, table === 'quick' ? 256 : 512);
    assert.equal(evaluation.perplexity[0]?.maxWindows, table === 'quick' ? 8 : null);
  }
  const { bits, methods } = parseExperiment(tableText('quick', BOTH_TEXTS), '/x').experiment!.matrix!;
  assert.deepEqual(
    [bits, methods],
    [
      ['4-8-16', '4-4-4'],
      ['rtn', 'gptq', 'quarot-gptq', 'peak-gptq'],
    ],
  );
});

test('the gate passes up to its limit, and never without both numbers', () => {
  const result = (quantized: number | null, fullPrecision: number | null) => ({
    name: 'a',
    quantized,
    fullPrecision,
    windows: 1,
    tokens: 1,
  });
  assert.equal(judge(result(11, 10), 0.1).passed, true);
  assert.equal(judge(result(11.1, 10), 0.1).passed, false);
  assert.equal(judge(result(9, 10), 0).passed, true);
  assert.equal(judge(result(Number.POSITIVE_INFINITY, 10), 100).passed, false);
  assert.equal(judge(result(Number.NaN, 10), 100).passed, false);
  assert.equal(judge(result(Number.POSITIVE_INFINITY, 10), 100).increase, null);
  assert.deepEqual(judge(result(null, 10), 1), { passed: false, increase: null });
  assert.deepEqual(judge(undefined, 1), { passed: false, increase: null });
});

test('annotations lie beside the runs, keep each other, and go when they say nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-labels-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const runs = join(folder, '.spinquant', 'runs');
  mkdirSync(runs, { recursive: true });
  const [a, b] = [join(runs, 'a'), join(runs, 'b')];
  await writeAnnotation(a, { starred: true });
  await writeAnnotation(b, { label: 'seed 1' });
  await writeAnnotation(a, { name: 'best' });
  assert.equal(labelsPath(runs), join(folder, '.spinquant', 'labels.json'));
  assert.deepEqual(readAnnotation(a), { name: 'best', label: null, starred: true });
  assert.deepEqual(readAnnotation(b), { name: null, label: 'seed 1', starred: false });
  await writeAnnotation(b, { label: null });
  await writeAnnotation(a, null);
  assert.deepEqual(JSON.parse(readFileSync(labelsPath(runs), 'utf8')), { version: 1, runs: {} });
  writeFileSync(labelsPath(runs), '{ torn');
  await assert.rejects(writeAnnotation(a, { starred: true }), { code: 'runs/labels' });
  assert.equal(readFileSync(labelsPath(runs), 'utf8'), '{ torn', 'what cannot be read is not written over');
  assert.equal(labelsPath('/data/my-runs'), join('/data/my-runs', 'labels.json'));
});
