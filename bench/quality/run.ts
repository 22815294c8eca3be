/**
 * This script measures the quality tables of docs/results.md, each cell by the same engine calls as the command line. It writes
 * bench/results/quality-<name>.json. With --learners or --gptq it measures only these again, and the rest stays.
 *
 *     node --import tsx bench/quality/run.ts [demo] [stories260K] [stories3M] [--learners | --gptq]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { runScript } from '../child.ts';
import { last } from './last.ts';
import type { Learned, LearnRun } from './learn-run.ts';
import { type Subject, subjects } from './subjects.ts';

type Rotation = ResolvedExperiment['rotation'];
type Switches = Pick<Rotation, 'r1' | 'r2' | 'r3' | 'r4'>;

const HADAMARD_SEEDS = 10;
const ABLATION_SEEDS = 3;
const LEARNED_SEEDS = 3;
const RUNS = join(import.meta.dirname, '..', '..', 'build', 'quality', 'runs');
const OFF: Switches = { r1: 'none', r2: 'none', r3: false, r4: false };

/** Switches are on alone and together; R1 and R2 are random Hadamard, or learned. */
const ABLATION: readonly (readonly [string, Partial<Switches>])[] = [
  ['none', {}],
  ['R1', { r1: 'hadamard' }],
  ['R2', { r2: 'hadamard' }],
  ['R3', { r3: true }],
  ['R4', { r4: true }],
  ['R3 R4', { r3: true, r4: true }],
  ['R1 R2 (no_had)', { r1: 'hadamard', r2: 'hadamard' }],
  ['R1 R2 R3', { r1: 'hadamard', r2: 'hadamard', r3: true }],
  ['R1 R2 R4', { r1: 'hadamard', r2: 'hadamard', r4: true }],
  ['R1 R2 R3 R4 (had)', { r1: 'hadamard', r2: 'hadamard', r3: true, r4: true }],
];

function vary(experiment: ResolvedExperiment, switches: Switches, seed: number): ResolvedExperiment {
  return { ...experiment, rotation: { ...experiment.rotation, ...switches, seed } };
}

async function drawn(experiment: ResolvedExperiment, switches: Switches, seed: number): Promise<number> {
  const varied = vary(experiment, switches, seed);
  const { perplexity } = await last(evaluateExperiment(varied, { variants: ['quantized'] }));
  return perplexity[0]!.quantized!;
}

/** These are the paper's learner, the same from a warm start, and the warm start alone. */
const LEARNERS = {
  'cross-entropy, 100 steps': { start: 'hadamard', learning: { steps: 100 } },
  'captured start, then cross-entropy, 50 steps': { start: 'captured', learning: { steps: 50 } },
  'captured activations (peak), 200 steps': {
    start: 'hadamard',
    learning: { objective: 'peak', optimizer: 'lie-adam', steps: 200, learningRate: 0.02 },
  },
} as const;
type Learner = keyof typeof LEARNERS;
const ABLATION_LEARNER: Learner = 'captured start, then cross-entropy, 50 steps';

async function learned(
  experiment: ResolvedExperiment,
  switches: Switches,
  seed: number,
  learner: Learner,
): Promise<Learned> {
  const varied = vary(experiment, switches, seed);
  const { start, learning } = LEARNERS[learner];
  const rotation = { ...varied.rotation, start, learning: { ...varied.rotation.learning, ...learning } };
  const asked: LearnRun = { experiment: { ...varied, rotation }, runs: RUNS };
  return runScript<Learned>(join(import.meta.dirname, 'learn-run.ts'), asked);
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Returns the same switches with `learned` where a Hadamard was drawn. */
function learnable(switches: Switches): Switches | null {
  const kind = (value: Switches['r1']) => (value === 'hadamard' ? 'learned' : value);
  const changed = { ...switches, r1: kind(switches.r1), r2: kind(switches.r2) };
  return changed.r1 === 'learned' || changed.r2 === 'learned' ? changed : null;
}

async function ablate(experiment: ResolvedExperiment) {
  const rows = [];
  for (const [name, partial] of ABLATION) {
    const switches = { ...OFF, ...partial };
    const random = learnable(switches) !== null;
    const draws: number[] = [];
    for (let seed = 0; seed < (random ? ABLATION_SEEDS : 1); seed++)
      draws.push(await drawn(experiment, switches, seed));
    const toLearn = learnable(switches);
    const learning = toLearn && (await learned(experiment, toLearn, 0, ABLATION_LEARNER));
    const row = { name, hadamard: mean(draws), draws, learned: learning?.perplexity ?? null };
    console.log(`  ${name.padEnd(20)} ${row.hadamard.toFixed(2)}  ${row.learned?.toFixed(2) ?? ''}`);
    rows.push(row);
  }
  return rows;
}

const ALL: Switches = { r1: 'hadamard', r2: 'hadamard', r3: true, r4: true };

async function references(experiment: ResolvedExperiment) {
  const { perplexity, bits } = await last(evaluateExperiment(vary(experiment, OFF, 0), {}));
  const hadamard = await draws(experiment);
  const { fullPrecision, quantized: noRotation, windows, tokens } = perplexity[0]!;
  console.log(`  ${bits}: full precision ${fullPrecision?.toFixed(3)}, none ${noRotation?.toFixed(2)}`);
  const sorted = [...hadamard].sort((a, b) => a - b).map((value) => value.toFixed(3));
  console.log(`  Hadamard ${sorted.join(' ')}`);
  return { bits, fullPrecision, noRotation, hadamard, windows, tokens };
}

async function draws(experiment: ResolvedExperiment): Promise<number[]> {
  const found: number[] = [];
  for (let seed = 0; seed < HADAMARD_SEEDS; seed++) found.push(await drawn(experiment, ALL, seed));
  return found;
}

/** Returns the experiment with weights rounded to nearest by its own settings, or by GPTQ as in the presets. */
function roundedBy(experiment: ResolvedExperiment, method: 'rtn' | 'gptq'): ResolvedExperiment {
  const { weights } = experiment.quantization;
  const clip = method === 'gptq' || weights.clip;
  const quantization = { ...experiment.quantization, weights: { ...weights, method, clip } };
  return { ...experiment, quantization };
}

async function byGptq(experiment: ResolvedExperiment) {
  const none = await drawn(experiment, OFF, 0);
  const hadamard = await draws(experiment);
  console.log(
    `  GPTQ: none ${none.toFixed(2)}, Hadamard ${hadamard.map((value) => value.toFixed(3)).join(' ')}`,
  );
  return { noRotation: none, hadamard, learners: await learners(experiment) };
}

async function learners(experiment: ResolvedExperiment): Promise<Record<string, Learned[]>> {
  const found: Record<string, Learned[]> = {};
  console.log(`  weights: ${experiment.quantization.weights.method}`);
  for (const learner of Object.keys(LEARNERS) as Learner[]) {
    const runs: Learned[] = [];
    for (let seed = 0; seed < LEARNED_SEEDS; seed++)
      runs.push(await learned(experiment, learnable(ALL)!, seed, learner));
    found[learner] = runs;
    const shown = runs.map(
      ({ perplexity, seconds, peakBytes }) =>
        `${perplexity.toFixed(3)} (${seconds.toFixed(0)} s, ${(peakBytes / 1e9).toFixed(2)} GB)`,
    );
    console.log(`  ${learner}: ${shown.join(', ')}`);
  }
  return found;
}

/** These parts can be measured alone. */
type Part = 'learners' | 'gptq';

async function measure({ name, experiment }: Subject, only: Part | null): Promise<void> {
  console.log(name);
  const folder = join(import.meta.dirname, '..', 'results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `quality-${name}.json`);
  const before = only && (JSON.parse(readFileSync(file, 'utf8')) as object);
  const nearest = roundedBy(experiment, 'rtn');
  const result = {
    ...(before ?? { name, ...(await references(nearest)) }),
    ...(only !== 'gptq' && { learners: await learners(nearest) }),
    ...(only !== 'learners' && { gptq: await byGptq(roundedBy(experiment, 'gptq')) }),
    ...(!only && { ablation: await ablate(nearest) }),
  };
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
}

const words = process.argv.slice(2);
const names = words.filter((word) => !word.startsWith('--'));
const only = (['learners', 'gptq'] as const).find((part) => words.includes(`--${part}`)) ?? null;
for (const subject of await subjects(names)) await measure(subject, only);
