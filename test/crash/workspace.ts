import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeModel } from '../fuzz/fixtures/model.ts';
import { TEXT } from '../fuzz/fixtures/workspace.ts';

const COMMON = {
  model: 'model',
  calibration: { text: ['train.txt'], samples: 128, sequenceLength: 16 },
  evaluation: {
    perplexity: [
      { name: 'short', text: 'test.txt', sequenceLength: 16, maxWindows: 40 },
      { name: 'long', text: 'train.txt', sequenceLength: 32, maxWindows: 80 },
    ],
  },
  device: 'cpu',
  threads: 1,
  runs: 'runs',
};

/** One learns through the quantized network and rounds by GPTQ, the other has everything that a checkpoint can hold. */
const EXPERIMENTS = {
  'gptq.spinquant.json': {
    ...COMMON,
    quantization: { weights: { method: 'gptq', gptq: { samples: 128 } } },
    rotation: { learning: { steps: 40, batchSize: 2 } },
  },
  'adam.spinquant.json': {
    ...COMMON,
    quantization: { weights: { method: 'rtn' } },
    rotation: {
      learning: { steps: 40, batchSize: 2, optimizer: 'lie-adam', learningRate: 0.02, weightClipEvery: 3 },
    },
  },
} as const;

export const EXPERIMENT_FILES = Object.keys(EXPERIMENTS);

/** A table whose cells share steps and have steps of their own. */
export const MATRIX_FILE = 'matrix.spinquant.json';
const MATRIX = {
  ...COMMON,
  calibration: { ...COMMON.calibration, samples: 32 },
  quantization: { weights: { gptq: { samples: 32 } } },
  rotation: { learning: { steps: 10, batchSize: 2 } },
  matrix: {
    bits: ['4-8-8', '4-4-4'],
    methods: ['rtn', 'gptq', 'hadamard-had-gptq', 'spinquant-had-gptq', 'peak-gptq'],
  },
};

/** Writes a model of two layers, texts and experiments that take a second each. */
export async function makeWorkspace(dir: string): Promise<void> {
  mkdirSync(dir, { recursive: true });
  await writeModel(join(dir, 'model'));
  writeFileSync(join(dir, 'train.txt'), TEXT.repeat(12));
  writeFileSync(join(dir, 'test.txt'), TEXT.repeat(3));
  for (const [name, experiment] of Object.entries(EXPERIMENTS))
    writeFileSync(join(dir, name), JSON.stringify(experiment));
  writeFileSync(join(dir, MATRIX_FILE), JSON.stringify(MATRIX));
}
