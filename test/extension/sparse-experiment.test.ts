import assert from 'node:assert/strict';
import test from 'node:test';
import { type ExperimentInput, experimentSchema } from '../../src/config/index.ts';
import { sparseExperiment } from '../../src/extension/runs/sparse-experiment.ts';

test('an experiment is written without its defaults, and reads as the same', () => {
  const inputs: ExperimentInput[] = [
    { model: 'm' },
    {
      model: 'm',
      calibration: { text: 'train.txt' },
      quantization: { weights: { method: 'gptq' } },
      rotation: { seed: 3, learning: { objective: 'peak', steps: 50 } },
      evaluation: { perplexity: [{ name: 'w', text: 'test.txt', maxWindows: 8 }] },
    },
  ];
  for (const input of inputs) {
    const experiment = experimentSchema.parse(input);
    const sparse = sparseExperiment(experiment, experimentSchema);
    assert.deepEqual(experimentSchema.parse(sparse), experiment);
    const longest = JSON.stringify(input).length + 100;
    assert.ok(JSON.stringify(sparse).length < longest, JSON.stringify(sparse));
  }
});
