/** This script computes one cell of a larger model's table, in a separate process to measure its peak memory. */
import { resolveExperiment } from '../../src/config/index.ts';
import { blocksToCapture, captureActivations } from '../../src/engine/calibration/capture.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { namedRotations, startingMaps } from '../../src/engine/plan/experiment-maps.ts';
import { capturedNetwork, learningNetwork } from '../../src/engine/plan/networks.ts';
import { calibrationBlocks, openWorkbench } from '../../src/engine/plan/workbench.ts';
import { writeRotations } from '../../src/engine/rotation/rotation-file.ts';
import {
  type DistributionOptions,
  learnFromActivations,
} from '../../src/engine/transform/learning/distribution-learner.ts';
import {
  type LearnOptions,
  type LearnStep,
  learnRotations,
} from '../../src/engine/transform/learning/learner.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { last } from './last.ts';

export interface LearnCell {
  readonly kind: 'learn';
  readonly experiment: string;
  readonly seed: number;
  /** It replaces the experiment's. */
  readonly calibration?: { readonly sequenceLength: number; readonly samples: number };
  /** Rotations are first learned on captured activations; null for the Hadamard start. */
  readonly captured: Pick<DistributionOptions, 'objective' | 'steps' | 'learningRate'> | null;
  /** They are then learned by cross-entropy; null for none. */
  readonly crossEntropy: (Pick<LearnOptions, 'steps' | 'batchSize'> & Partial<LearnOptions>) | null;
  /** True where cross-entropy's gradient goes through the scales of activation quantizers; false where absent. */
  readonly scaleGradient?: boolean;
  /** The bits of the weights inside the loop of cross-entropy; the experiment's where absent. */
  readonly weightBits?: 16;
  readonly out: string;
}

export interface EvaluateCell {
  readonly kind: 'evaluate';
  readonly experiment: string;
  readonly variant: 'full-precision' | 'quantized';
  readonly seed: number;
  readonly rotation: 'none' | 'hadamard' | 'learned';
  /** The file of learned rotations. */
  readonly rotations: string | null;
  /** GPTQ reads this many calibration sequences, of this length or the experiment's; null rounds to nearest. */
  readonly gptq: { readonly samples: number; readonly sequenceLength?: number } | null;
  readonly bits: Readonly<Record<'weights' | 'activations' | 'keys' | 'values', number>>;
}

const peakBytes = () => process.resourceUsage().maxRSS * 1024;

async function drain<T>(events: AsyncGenerator<LearnStep, T>): Promise<{ result: T; steps: LearnStep[] }> {
  const steps: LearnStep[] = [];
  for (;;) {
    const next = await events.next();
    if (next.done) return { result: next.value, steps };
    steps.push(next.value);
  }
}

async function learn(cell: LearnCell) {
  const resolved = await resolveExperiment(cell.experiment, 'optimize');
  const { scaleGradient = false, weightBits } = cell;
  const learning = { ...resolved.rotation.learning, scaleGradient, ...(weightBits && { weightBits }) };
  const rotation = { ...resolved.rotation, seed: cell.seed, learning };
  const calibration = { ...resolved.calibration, ...cell.calibration };
  const experiment = { ...resolved, calibration, rotation };
  const bench = await openWorkbench(experiment, {});
  const blocks = await calibrationBlocks(bench);
  const both = { seams: ['residual', 'value'], schedule: 'cosine' } as const;
  let state = startingMaps(experiment, bench.checkpoint.config);
  const began = performance.now();
  if (cell.captured) {
    const some = blocksToCapture(blocks);
    const sample = { seed: cell.seed, massiveWeight: 1 };
    const rows = await captureActivations(bench.cache, capturedNetwork(bench), some, sample);
    const options = { ...cell.captured, ...both, optimizer: 'lie-adam', gradientClip: null } as const;
    state = (await drain(learnFromActivations(bench.cache, state, rows, options))).result;
  }
  const capturedSeconds = (performance.now() - began) / 1000;
  let losses: number[] = [];
  let stepSeconds: number[] = [];
  if (cell.crossEntropy) {
    const options = {
      optimizer: 'cayley-sgd' as const,
      weightClipEvery: 1,
      ...both,
      learningRate: 1.5,
      gradientClip: 1,
      microBatch: 1,
      dataSeed: cell.seed,
      ...cell.crossEntropy,
    };
    const start = { step: 0, state };
    const learned = await drain(learnRotations(bench.cache, learningNetwork(bench), start, blocks, options));
    state = learned.result;
    losses = learned.steps.map(({ loss }) => loss);
    stepSeconds = learned.steps.map(({ seconds }) => seconds);
  }
  const seconds = (performance.now() - began) / 1000;
  await writeRotations(cell.out, namedRotations(state, bench.checkpoint.config));
  await bench.close();
  return { seconds, capturedSeconds, stepSeconds, losses, peakBytes: peakBytes() };
}

async function evaluate(cell: EvaluateCell) {
  const resolved = await resolveExperiment(cell.experiment, 'optimize');
  const { weights, activations, keys, values } = resolved.quantization;
  const { bits } = cell;
  const { rotation, gptq } = cell;
  const on = rotation !== 'none';
  const rounding = gptq && { method: 'gptq', gptq: { ...weights.gptq, samples: gptq.samples } };
  const sequenceLength = gptq?.sequenceLength ?? resolved.calibration.sequenceLength;
  const experiment = {
    ...resolved,
    calibration: { ...resolved.calibration, sequenceLength, ...(gptq && { samples: gptq.samples }) },
    quantization: {
      ...resolved.quantization,
      weights: { ...weights, ...rounding, bits: bits.weights },
      activations: { ...activations, bits: bits.activations },
      keys: { ...keys, bits: bits.keys },
      values: { ...values, bits: bits.values },
    },
    rotation: { ...resolved.rotation, seed: cell.seed, r1: rotation, r2: rotation, r3: on, r4: on },
  } as typeof resolved;
  const rotations = cell.rotations === null ? {} : { rotations: cell.rotations };
  const began = performance.now();
  let roundingSeconds: number | null = null;
  const note = (event: RunEvent): void => {
    if (event.type === 'phase' && event.phase === 'round') roundingSeconds = event.seconds ?? null;
  };
  const measuring = evaluateExperiment(experiment, { variants: [cell.variant], ...rotations });
  const { perplexity } = await last(measuring, note);
  const { fullPrecision, quantized, tokens } = perplexity[0]!;
  const seconds = (performance.now() - began) / 1000;
  return { perplexity: fullPrecision ?? quantized, tokens, seconds, roundingSeconds, peakBytes: peakBytes() };
}

const cell = JSON.parse(process.argv[2]!) as LearnCell | EvaluateCell;
console.log(JSON.stringify(cell.kind === 'learn' ? await learn(cell) : await evaluate(cell)));
