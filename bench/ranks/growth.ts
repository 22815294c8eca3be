/**
 * What several ranks would take for large models on a network of a given speed: simulated, from the time that a sequence
 * was measured to take and from the bytes that sums over ranks send. `node --import tsx bench/ranks/growth.ts`
 *
 * Assumptions, all of them:
 * - A rank is as fast as the machine that was measured, or so many times as fast; work is counted as `spinquant plan` does
 *   (`engine/network/work.ts`), and takes time in proportion.
 * - All ranks are alike and begin together. Exchanges do not overlap with work, and get the whole of the network's rate.
 * - Memory suffices. Nobody has run these models over these networks.
 */
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { factorWork, feedbackWork, walkWork } from '../../src/engine/rounding/walk/walk-work.ts';
import { networkLearningWork } from '../../src/engine/transform/learning/work.ts';
import { LLAMA2_70B, LLAMA3_8B, SMOLLM2_135M, type SyntheticShape } from '../sizes/synthetic.ts';

/**
 * Measured on two idle cores of Zen 4 (README.md, "Products of bfloat16 on vectors"): seconds of a step of one sequence of
 * 2048 tokens, W16A4KV4, and of GPTQ's pass of one sequence through one layer, both of SmolLM2-135M.
 */
const MEASURED = { step: 8.9, layerOfWalk: 0.117, length: 2048 } as const;
const SPEEDS = [1, 32];
const RANKS = [8, 64];
const GIGABITS = [10, 100];
/** The reference learns on 8 sequences a step; more ranks need more, one each. */
const BATCH = 8;
const SAMPLES = 128;
const FLOAT = 4;

function configOf({ hidden, intermediate, layers, heads, kvHeads, vocabulary }: SyntheticShape): ModelConfig {
  const biases = { attentionBias: false, outputBias: false, mlpBias: false, qkNorm: false };
  return {
    ...{ architecture: 'llama', hiddenSize: hidden, intermediateSize: intermediate, layers, heads, kvHeads },
    ...{ headDim: hidden / heads, vocabSize: vocabulary, maxPositions: 8192, rmsNormEps: 1e-5 },
    ...{ ropeTheta: 10000, ropeScaling: null, slidingWindow: null, tiedEmbeddings: false, ...biases },
    layerWindows: Array.from({ length: layers }, () => null),
  };
}

const text = (sequences: number) => ({ sequences, length: MEASURED.length });
const grid = { ...FULL_PRECISION, weights: { bits: 4, symmetric: true, group: 0, clipSearch: true } };

/** Operations of a step on some sequences. */
const stepFlops = (config: ModelConfig, sequences: number): number =>
  networkLearningWork(config, text(sequences), { steps: 1, seams: ['residual', 'value'] }, { prepares: null })
    .flops;
/** Those of passing a sequence through the network for GPTQ, weights apart. */
const walkFlops = (config: ModelConfig): number =>
  walkWork(config, text(2), grid).flops - walkWork(config, text(1), grid).flops;
/** Those of rounding, which each rank does alone. */
const roundingFlops = (config: ModelConfig): number =>
  walkWork(config, text(1), grid).flops -
  walkFlops(config) +
  factorWork(config).flops +
  feedbackWork(config).flops;

/** Bytes of the gradient of a step: R1 and an R2 for each layer. */
const gradientBytes = ({ hiddenSize, headDim, layers }: ModelConfig): number =>
  FLOAT * (hiddenSize ** 2 + layers * headDim ** 2);
/** Bytes of the second moments of all layers, of each the lower half. */
const momentBytes = ({ hiddenSize: d, intermediateSize: f, heads, headDim, layers }: ModelConfig): number =>
  layers * [d, heads * headDim, d, f].reduce((sum, n) => sum + (FLOAT * n * (n + 1)) / 2, 0);

const small = configOf(SMOLLM2_135M);
const STEP_RATE = stepFlops(small, 1) / MEASURED.step;
const WALK_RATE = walkFlops(small) / small.layers / MEASURED.layerOfWalk;

interface Row {
  readonly work: number;
  readonly exchange: number;
  readonly alone: number;
}

function learning(config: ModelConfig, ranks: number, speed: number, gigabits: number): Row {
  const batch = Math.max(BATCH, ranks);
  const rate = STEP_RATE * speed;
  const own = stepFlops(config, Math.ceil(batch / ranks));
  return {
    work: own / rate,
    exchange: sent(gradientBytes(config), ranks, gigabits),
    alone: stepFlops(config, batch) / rate,
  };
}

function gptq(config: ModelConfig, ranks: number, speed: number, gigabits: number): Row {
  const [passes, rounding] = [
    walkFlops(config) / (WALK_RATE * speed),
    roundingFlops(config) / (STEP_RATE * speed),
  ];
  return {
    work: Math.ceil(SAMPLES / ranks) * passes + rounding,
    exchange: sent(momentBytes(config), ranks, gigabits),
    alone: SAMPLES * passes + rounding,
  };
}

function sent(bytes: number, ranks: number, gigabits: number): number {
  return (2 * (ranks - 1) * bytes) / ranks / ((gigabits * 1e9) / 8);
}

function time(seconds: number): string {
  if (seconds < 10) return `${seconds.toPrecision(2)} s`;
  if (seconds < 600) return `${seconds.toFixed(0)} s`;
  return seconds < 36_000 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(0)} h`;
}

const out: string[] = [
  '| model | work | a rank | ranks | network | computing | sending | one rank alone | times as fast |',
  '|---|---|---|--:|--:|--:|--:|--:|--:|',
];
for (const [shape, name] of [
  [LLAMA3_8B, 'LLaMA-3-8B'],
  [LLAMA2_70B, 'LLaMA-2-70B'],
] as const)
  for (const [what, simulate] of [
    ['step', learning],
    ['GPTQ', gptq],
  ] as const)
    for (const speed of SPEEDS)
      for (const ranks of RANKS)
        for (const gigabits of GIGABITS) {
          const { work, exchange, alone } = simulate(configOf(shape), ranks, speed, gigabits);
          const gain = (alone / (work + exchange)).toFixed(1);
          out.push(
            `| ${name} | ${what} | ${speed} × measured | ${ranks} | ${gigabits} Gbit/s | ${time(work)} | ${time(exchange)} | ${time(alone)} | ${gain} |`,
          );
        }
console.log(out.join('\n'));
