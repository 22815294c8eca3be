/**
 * This script measures perplexity against seconds of learning, for ways to make cross-entropy cheaper at W4A4KV4 with
 * clip search. It writes bench/results/curve.json.
 *
 *     node --import tsx bench/quality/curve.ts [SEEDS] [stories260K] [stories3M] [demo]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { optimizeRotation } from '../../src/engine/index.ts';
import { openRun } from '../../src/runs/index.ts';
import { subjects } from './subjects.ts';

type Rotation = ResolvedExperiment['rotation'];
type Setting = Pick<Rotation, 'start'> & { readonly learning: Partial<Rotation['learning']> };

const CAYLEY = { objective: 'cross-entropy', optimizer: 'cayley-sgd', learningRate: 1.5 } as const;
const LIE = { objective: 'cross-entropy', optimizer: 'lie-adam', learningRate: 0.02 } as const;
const SETTINGS: Readonly<Record<string, Setting>> = {
  'cross-entropy, 100 steps (the paper)': { start: 'hadamard', learning: { ...CAYLEY, steps: 100 } },
  'the same, clip ratios searched every 10 steps': {
    start: 'hadamard',
    learning: { ...CAYLEY, steps: 100, weightClipEvery: 10 },
  },
  'the same, gradient through the scales': {
    start: 'hadamard',
    learning: { ...CAYLEY, steps: 100, weightClipEvery: 10, scaleGradient: true },
  },
  'LieAdam, 50 steps': { start: 'hadamard', learning: { ...LIE, steps: 50, weightClipEvery: 10 } },
  'LieAdam, 50 steps, gradient through the scales': {
    start: 'hadamard',
    learning: { ...LIE, steps: 50, weightClipEvery: 10, scaleGradient: true },
  },
  'captured start, 20 steps': {
    start: 'captured',
    learning: { ...CAYLEY, steps: 20, weightClipEvery: 10 },
  },
  'captured start, 20 steps, gradient through the scales': {
    start: 'captured',
    learning: { ...CAYLEY, steps: 20, weightClipEvery: 10, scaleGradient: true },
  },
  'captured start, LieAdam, 20 steps, gradient through the scales': {
    start: 'captured',
    learning: { ...LIE, learningRate: 0.005, steps: 20, weightClipEvery: 10, scaleGradient: true },
  },
  'peak alone, 200 steps': {
    start: 'hadamard',
    learning: { objective: 'peak', optimizer: 'lie-adam', steps: 200, learningRate: 0.02 },
  },
};
const RUNS = join(import.meta.dirname, '..', '..', 'build', 'quality', 'runs');
const RESULTS = join(import.meta.dirname, '..', 'results');

async function reached(experiment: ResolvedExperiment, { start, learning }: Setting, seed: number) {
  const rotation = {
    ...experiment.rotation,
    r1: 'learned',
    r2: 'learned',
    start,
    seed,
    learning: { ...experiment.rotation.learning, ...learning },
  } as const;
  const { weights } = experiment.quantization;
  const quantization = { ...experiment.quantization, weights: { ...weights, clip: true } };
  const events = optimizeRotation({ ...experiment, quantization, rotation, runs: RUNS }, {});
  for (;;) {
    const next = await events.next();
    if (!next.done) continue;
    const { seconds } = await (await openRun(next.value.run)).readResults();
    return { perplexity: next.value.perplexity[0]!.quantized!, seconds: seconds.learn! };
  }
}

const [seeds, ...names] = process.argv.slice(2);
const results: Record<string, Record<string, { perplexity: number; seconds: number }[]>> = {};
for (const { name, experiment } of await subjects(names)) {
  results[name] = {};
  for (const [label, setting] of Object.entries(SETTINGS)) {
    const runs = [];
    for (let seed = 0; seed < Number(seeds ?? 3); seed++) runs.push(await reached(experiment, setting, seed));
    results[name][label] = runs;
    const shown = runs.map(({ perplexity, seconds }) => `${perplexity.toFixed(3)} (${seconds.toFixed(0)} s)`);
    console.log(`${name}: ${label}: ${shown.join(', ')}`);
  }
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, 'curve.json'), `${JSON.stringify(results, null, 2)}\n`);
}
