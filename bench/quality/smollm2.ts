/**
 * This script measures the perplexity of SmolLM2-135M on WikiText-2 by method, seed and bits, with seconds and peak
 * memory. Cells already in bench/results/quality-smollm2.json are kept, so it can be stopped and started again.
 *
 *     node --import tsx bench/quality/smollm2.ts MODEL_FOLDER VALID.txt TEST.txt [cell …]
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SHAPES } from '../../src/extension/experiments/presets.ts';
import { runScript } from '../child.ts';
import type { EvaluateCell, LearnCell } from './cell.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const WORK = join(ROOT, 'build', 'quality');
const RESULTS = join(ROOT, 'bench', 'results', 'quality-smollm2.json');
/** Number of windows of 2048 tokens of the test split. */
const WINDOWS = 12;
const SEQUENCE = 2048;
const SEEDS = [0, 1, 2];

type Learner = Pick<LearnCell, 'captured' | 'crossEntropy' | 'scaleGradient' | 'weightBits' | 'calibration'>;
const PEAK = { objective: 'peak', steps: 200, learningRate: 0.02 } as const;
const { sequenceLength, samples } = SHAPES.quick;
const QUICK = { sequenceLength, samples };
/** GPTQ reads a quarter of its default number of calibration sequences, for a quarter of the time. */
const GPTQ = { samples: 32 };
const LEARNERS: Readonly<Record<string, Learner>> = {
  peak: { captured: PEAK, crossEntropy: null },
  'cross-entropy 50': { captured: null, crossEntropy: { steps: 50, batchSize: 1 } },
  'cross-entropy 100': { captured: null, crossEntropy: { steps: 100, batchSize: 1 } },
  'cross-entropy 50, 16-bit weights': {
    captured: null,
    crossEntropy: { steps: 50, batchSize: 1 },
    weightBits: 16,
  },
  'quick preset': { calibration: QUICK, captured: PEAK, crossEntropy: null },
  'peak, then cross-entropy 20': { captured: PEAK, crossEntropy: { steps: 20, batchSize: 1 } },
  'peak, then cross-entropy 20, gradient through the scales': {
    captured: PEAK,
    crossEntropy: { steps: 20, batchSize: 1, weightClipEvery: 10 },
    scaleGradient: true,
  },
};
const BITS = {
  W4A4KV4: { weights: 4, activations: 4, keys: 4, values: 4 },
  W4A8: { weights: 4, activations: 8, keys: 16, values: 16 },
  W16A4KV4: { weights: 16, activations: 4, keys: 4, values: 4 },
} as const;
type Bits = keyof typeof BITS;

type Result = Readonly<Record<string, unknown>>;
const results: Record<string, Result> = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : {};

async function once(name: string, cell: LearnCell | EvaluateCell): Promise<void> {
  if (results[name]) return;
  const result = await runScript<Result>(join(import.meta.dirname, 'cell.ts'), cell);
  results[name] = result;
  const { perplexity, seconds, peakBytes } = result;
  const peak = ((peakBytes as number) / 1e9).toFixed(2);
  console.log(`${name}: ${perplexity ?? ''} ${(seconds as number).toFixed(0)} s, ${peak} GB`);
  writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
}

function writeExperiment(model: string, valid: string, test: string): string {
  mkdirSync(WORK, { recursive: true });
  const plain = (from: string, to: string) => {
    const path = join(WORK, to);
    writeFileSync(path, readFileSync(from, 'utf8').replaceAll('\r\n', '\n'));
    return path;
  };
  const file = join(WORK, 'smollm2.spinquant.json');
  const experiment = {
    model: resolve(model),
    calibration: { text: plain(valid, 'wikitext-valid.txt'), sequenceLength: SEQUENCE, samples: 100 },
    quantization: Object.fromEntries(
      Object.entries(BITS.W4A4KV4).map(([name, bits]) => [
        name,
        { bits, ...(name === 'keys' && { offset: 'bias' }) },
      ]),
    ),
    evaluation: {
      perplexity: [
        {
          name: 'wikitext2',
          text: plain(test, 'wikitext-test.txt'),
          sequenceLength: SEQUENCE,
          maxWindows: WINDOWS,
        },
      ],
    },
  };
  writeFileSync(file, JSON.stringify(experiment, null, 2));
  return file;
}

const [model, valid, test, ...wanted] = process.argv.slice(2);
const experiment = writeExperiment(model!, valid!, test!);
/** Words are whole names or their first words: `peak` does not match `peak, then …`. */
const asked = (name: string) =>
  wanted.length === 0 || wanted.some((word) => name === word || name.startsWith(`${word} `));
const base = { kind: 'evaluate', experiment, seed: 0, rotations: null, gptq: null } as const;

async function evaluated(name: string, bits: Bits, cell: Partial<EvaluateCell>): Promise<void> {
  const title = `${name} ${bits}${cell.gptq ? ' GPTQ' : ''}`;
  const settings = { ...base, rotation: 'none', variant: 'quantized', bits: BITS[bits], ...cell } as const;
  if (asked(name)) await once(title, settings);
}

if (asked('full')) {
  const settings = { ...base, rotation: 'none', variant: 'full-precision', bits: BITS.W4A4KV4 } as const;
  await once('full precision', settings);
}
for (const bits of Object.keys(BITS) as Bits[]) await evaluated('none', bits, {});
for (const seed of SEEDS) {
  for (const bits of Object.keys(BITS) as Bits[]) {
    if (bits !== 'W4A4KV4' && seed > 0) continue;
    await evaluated(`hadamard seed ${seed}`, bits, { rotation: 'hadamard', seed });
  }
  await evaluated(`hadamard seed ${seed}`, 'W4A4KV4', { rotation: 'hadamard', seed, gptq: GPTQ });
}
for (const [learner, settings] of Object.entries(LEARNERS)) {
  for (const seed of SEEDS) {
    const name = `${learner} seed ${seed}`;
    if (!asked(name)) continue;
    const out = join(WORK, `smollm2 ${name}.safetensors`);
    await once(`learn ${name}`, { kind: 'learn', experiment, seed, ...settings, out });
    const cell = { rotation: 'learned', seed, rotations: out } as const;
    await evaluated(name, 'W4A4KV4', { ...cell, gptq: learner === 'quick preset' ? QUICK : GPTQ });
    await evaluated(name, 'W4A4KV4', cell);
    if (seed > 0) continue;
    await evaluated(name, 'W4A8', cell);
    await evaluated(name, 'W16A4KV4', cell);
  }
}
