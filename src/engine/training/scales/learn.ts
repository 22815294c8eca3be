/** Scales of channels, learned through the quantized network with rotations as they are. */
import { toFloat32 } from '../../../formats/tensor-io.ts';
import type { SeamName } from '../../../protocol/block.ts';
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { partialOf } from '../../../protocol/records.ts';
import { type FileTensor, float32, type HostTensor } from '../../../protocol/tensor.ts';
import { type GradientSums, lossAndGradients, type TokenLoss } from '../../calibration/gradient-step.ts';
import { learningRateAt } from '../../calibration/schedule.ts';
import { batchOfStep } from '../../calibration/text.ts';
import type { Network } from '../../network/network.ts';
import { type SeamState, seamsIn } from '../../network/seams.ts';
import { stepAdamW } from '../adam-w.ts';
import type { KeptTraining, TrainingState } from '../kept-training.ts';
import { type WeightSet, zerosLike } from '../weight-set.ts';

export interface ScaleTask {
  /** In the unrotated form, quantized as deployed but for its weights; derivatives go by the scales alone. */
  readonly network: Network;
  readonly loss: TokenLoss;
  /** Rotations, which stay. */
  readonly fixed: SeamState;
  /** Scales that learning starts from, by seam and layer; their seams move. */
  readonly start: SeamState;
  /** Sequences of one length. */
  readonly blocks: readonly Int32Array[];
  readonly options: ScaleOptions;
  /** Decides the order of the sequences. */
  readonly seed: number;
  readonly kept: KeptTraining;
}

export interface ScaleOptions {
  readonly steps: number;
  /** Of the logarithms at the first step; it falls to 0 by half a cosine. */
  readonly learningRate: number;
  /** Sequences of a step. */
  readonly batchSize: number;
}

export interface ScaleStep {
  /** Steps done, from 1. */
  readonly step: number;
  /** The loss of the batch before the step, in nats. */
  readonly loss: number;
}

/** The state behind a step is written this long after the last one. */
const STATE_SECONDS = 10;

/**
 * Moves the logarithms of scales by Adam so that the loss falls. With S = eˡ, ∂loss/∂l = S ∂loss/∂S. What was learned
 * stays with `kept`, and a call that was interrupted goes on to the same bits.
 */
export async function* learnScales(
  task: ScaleTask,
  signal?: AbortSignal,
): AsyncGenerator<ScaleStep, SeamState> {
  const { network, loss, fixed, start, blocks, options, seed, kept } = task;
  const { steps, batchSize, learningRate } = options;
  const first = logarithmsOf(start);
  const done = kept.trained(first);
  if (done) return scalesOf(start, numbersOf(done));
  const { step: from, weights, moments } = kept.state(first) ?? firstState(first);
  const fitting = Math.max(1, Math.floor(network.memory.tokensAtOnce / (blocks[0]?.length ?? 1)));
  let [step, writtenStep, written] = [from, from, performance.now()];
  const write = async (): Promise<void> => {
    await kept.writeState({ step, weights, moments });
    [writtenStep, written] = [step, performance.now()];
  };
  try {
    while (step < steps) {
      throwIfCancelled(signal);
      network.setMaps({ ...fixed, ...scalesOf(start, weights) });
      const batch = batchOfStep(blocks, step, batchSize, seed);
      const found = await lossAndGradients(network, batch, Math.min(batchSize, fitting), signal, loss);
      const slopes = slopesOf(weights, start, found.gradients);
      expectFinite(step + 1, found.loss, slopes);
      const rate = learningRateAt('cosine', learningRate, step, steps);
      step++;
      stepAdamW(weights, slopes, moments, { step, learningRate: rate });
      if (performance.now() - written > STATE_SECONDS * 1000) await write();
      yield { step, loss: found.loss };
    }
  } finally {
    // Cancelled or left in the middle: the steps that were finished are kept.
    if (step > writtenStep && step < steps) await write();
  }
  await kept.finish(weights);
  return scalesOf(start, weights);
}

function firstState(weights: WeightSet): TrainingState {
  return { step: 0, weights, moments: { first: zerosLike(weights), second: zerosLike(weights) } };
}

const nameOf = (seam: SeamName, layer: number): string => `${seam}.${layer}`;

function logarithmsOf(scales: SeamState): WeightSet {
  return new Map(
    seamsIn(scales).flatMap((seam) =>
      (scales[seam] ?? []).map((own, layer) => {
        const logarithms: HostTensor<Float32Array> = float32([own.length], own.map(Math.log));
        return [nameOf(seam, layer), logarithms] as const;
      }),
    ),
  );
}

const numbersOf = (files: ReadonlyMap<string, FileTensor>): WeightSet =>
  new Map([...files].map(([name, file]) => [name, float32(file.dims, toFloat32(file))]));

/** @param like has the seams and layers. */
function scalesOf(like: SeamState, logarithms: WeightSet): SeamState {
  return partialOf(
    seamsIn(like),
    (seam) => like[seam]?.map((_, layer) => logarithms.get(nameOf(seam, layer))!.data.map(Math.exp)) ?? null,
  );
}

function slopesOf(
  logarithms: WeightSet,
  like: SeamState,
  gradients: GradientSums,
): ReadonlyMap<string, Float32Array> {
  return new Map(
    seamsIn(like).flatMap((seam) =>
      (gradients[seam] ?? []).map((gradient, layer) => {
        const name = nameOf(seam, layer);
        const { data } = logarithms.get(name)!;
        return [name, data.map((logarithm, j) => Math.exp(logarithm) * gradient[j]!)] as const;
      }),
    ),
  );
}

/** @throws UserError `training/diverged`. */
function expectFinite(step: number, loss: number, slopes: ReadonlyMap<string, Float32Array>): void {
  if (Number.isFinite(loss) && [...slopes.values()].every((slope) => slope.every(Number.isFinite))) return;
  throw new UserError(
    'training/diverged',
    `Step ${step} of learning scales gave a loss of ${loss}, or a derivative that is not finite.`,
    'Use a smaller learningRate; where the first step diverges, check the checkpoint.',
  );
}
