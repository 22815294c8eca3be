/** Factors of the ends of activations' and the cache's ranges, learned through the network. */

import { ROUNDED_SITES, type RoundedSite } from '../../../protocol/block.ts';
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { partialOf } from '../../../protocol/records.ts';
import { float32 } from '../../../protocol/tensor.ts';
import { adamStep } from '../../calibration/adam.ts';
import { learningRateAt } from '../../calibration/schedule.ts';
import { batchOfStep } from '../../calibration/text.ts';
import { concatenate } from '../../calibration/tokens.ts';
import type { Reals, Tensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { type BatchShape, type LayerQuantizers, quantizerAt } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';
import type { SiteClip, SiteClips } from '../../network/site-clips.ts';
import type { TextSize } from '../../network/work.ts';
import { hiddenDivergence } from '../divergence.ts';
import { CLIPPED, CLIPPED_BACKWARD, FACTORS, factorOf } from './layer.ts';

export const CLIP_LEARNING = {
  steps: 40,
  /** Of the first step; it falls by half a cosine. */
  rate: 0.01,
  /** Whole sequences, at least one. */
  tokensOfStep: 2048,
  smallest: 0.5,
} as const;

/** An average over 1000 steps would outlast learning. No derivative is as small as ε, which keeps 0 / 0 away. */
const ADAM = { beta1: 0.9, beta2: 0.99, epsilon: 1e-12, decay: 0 } as const;

export interface ClipTask {
  readonly cache: ProgramCache;
  /** The merged network at full precision, with all maps of the deployed one. */
  readonly network: Network;
  readonly layers: readonly {
    /** Those of the deployed network, with the ratios where learning starts. */
    readonly quantizers: LayerQuantizers;
    /** Sites whose factors move. */
    readonly sites: readonly RoundedSite[];
  }[];
  /** Sequences of one length. */
  readonly blocks: readonly Int32Array[];
  /** Decides the order of the sequences. */
  readonly seed: number;
}

type FactorState = Readonly<Record<'factors' | 'mean' | 'square', readonly number[]>>;

/** All that carries over from step to step. */
export interface LearningState {
  /** Steps done. */
  readonly step: number;
  readonly layers: readonly FactorState[];
}

/** Sequences of a step: none twice. */
export function sequencesOfStep({ sequences, length }: TextSize): number {
  return Math.max(1, Math.min(sequences, Math.floor(CLIP_LEARNING.tokensOfStep / length)));
}

/** The state before the first step. */
export function firstState({ layers }: Pick<ClipTask, 'layers'>): LearningState {
  const zeros = Array.from({ length: FACTORS }, () => 0);
  const firstFactors = (quantizers: LayerQuantizers): number[] =>
    ROUNDED_SITES.flatMap((site) => {
      const { clipRatio = 1, lowerRatio = clipRatio } = quantizerAt(site, quantizers) ?? {};
      return [clipRatio, lowerRatio];
    });
  return {
    step: 0,
    layers: layers.map(({ quantizers }) => ({
      factors: firstFactors(quantizers),
      mean: zeros,
      square: zeros,
    })),
  };
}

/** The ratios of the sites that are learned, by layer: one for a symmetric grid, two for an asymmetric one. */
export function clipsOf({ layers }: LearningState, task: Pick<ClipTask, 'layers'>): SiteClips {
  return task.layers.map(({ quantizers, sites }, layer) =>
    partialOf(ROUNDED_SITES, (site): SiteClip | null => {
      const factors = layers[layer]?.factors;
      const quantizer = quantizerAt(site, quantizers);
      if (!factors || !quantizer || !sites.includes(site)) return null;
      const [upper = 1, lower = 1] = [factors[factorOf(site, 'upper')], factors[factorOf(site, 'lower')]];
      return quantizer.symmetric ? upper : { upper, lower };
    }),
  );
}

/**
 * Moves the factors by Adam so that KL(full precision ‖ quantized) of the next token falls, with weights as they are. Its
 * derivative takes roundings straight through. It is small where the quantized network is right already: next to it that
 * of the cross-entropy would be noise.
 * @yields the state behind each step, with the mean divergence of a token before it, in nats.
 */
export async function* learnClips(
  task: ClipTask,
  from: LearningState,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly state: LearningState; readonly divergence: number }, LearningState> {
  const learner = new ClipLearner(task, signal);
  let state = from;
  while (state.step < CLIP_LEARNING.steps) {
    const { divergence, derivatives } = await learner.derivatives(state);
    expectFinite(divergence, derivatives);
    state = moved(state, derivatives, task);
    yield { state, divergence };
  }
  return state;
}

/** One step of Adam on the factors of the sites that move, within the range of a search. */
function moved(
  { step, layers }: LearningState,
  derivatives: readonly Float64Array[],
  task: ClipTask,
): LearningState {
  const { steps, rate, smallest } = CLIP_LEARNING;
  const now = learningRateAt('cosine', rate, step, steps);
  const next = layers.map(({ factors, mean, square }, layer) => {
    const { sites = [] } = task.layers[layer] ?? {};
    const moves = (index: number): boolean => sites.some((site) => ROUNDED_SITES[index >> 1] === site);
    const slopes = Array.from(derivatives[layer] ?? [], (value, index) => (moves(index) ? value : 0));
    const changed = Float64Array.from(factors);
    const moments = { mean: Float64Array.from(mean), square: Float64Array.from(square) };
    adamStep(changed, slopes, moments, { ...ADAM, rate: now, step: step + 1 });
    const moving = factors.map((factor, index) =>
      moves(index) ? Math.min(1, Math.max(smallest, changed[index]!)) : factor,
    );
    return { factors: moving, mean: [...moments.mean], square: [...moments.square] };
  });
  return { step: step + 1, layers: next };
}

/** @throws UserError `training/diverged`. */
function expectFinite(divergence: number, derivatives: readonly Float64Array[]): void {
  if (Number.isFinite(divergence) && derivatives.every((layer) => layer.every(Number.isFinite))) return;
  throw new UserError(
    'training/diverged',
    `The divergence that clip ratios are learned by is ${divergence}, or its derivative is not finite.`,
    'The network overflows on the calibration text: check the checkpoint, or write "searched" in the place of "learned".',
  );
}

/** Passes forward and back, of one layer after the other. */
class ClipLearner {
  readonly #task: ClipTask;
  readonly #signal: AbortSignal | undefined;

  constructor(task: ClipTask, signal: AbortSignal | undefined) {
    this.#task = task;
    this.#signal = signal;
  }

  /** Of the mean over the tokens of a step's batch, by layer [{@link FACTORS}]. */
  async derivatives(
    state: LearningState,
  ): Promise<{ readonly divergence: number; readonly derivatives: readonly Float64Array[] }> {
    const { blocks, seed, network, layers } = this.#task;
    const length = blocks[0]?.length ?? 1;
    const batch = batchOfStep(
      blocks,
      state.step,
      sequencesOfStep({ sequences: blocks.length, length }),
      seed,
    );
    const atOnce = Math.max(1, Math.floor(network.memory.tokensAtOnce / length));
    const derivatives = layers.map(() => new Float64Array(FACTORS));
    const tokens = batch.length * length;
    let total = 0;
    for (let start = 0; start < batch.length; start += atOnce)
      total += await this.#part(batch.slice(start, start + atOnce), state, derivatives);
    return {
      divergence: total / tokens,
      derivatives: derivatives.map((sums) => sums.map((sum) => sum / tokens)),
    };
  }

  /** Adds the derivatives of some sequences. @returns the sum of their tokens' divergences. */
  async #part(
    sequences: readonly Int32Array[],
    state: LearningState,
    derivatives: readonly Float64Array[],
  ): Promise<number> {
    const { network, cache } = this.#task;
    const ids = concatenate(sequences);
    const shape = { batch: sequences.length, sequence: ids.length / sequences.length };
    const target = await this.#exact(ids, shape);
    const residuals = [owned(await network.embed(ids, this.#signal))];
    for (let layer = 0; layer < network.layers; layer++) {
      throwIfCancelled(this.#signal);
      const { spec, tensors } = await this.#context(layer, shape, state);
      const program = await cache.get(CLIPPED, spec);
      residuals.push(owned((await program.run({ ...tensors, x: residuals[layer]! }, this.#signal)).y));
    }
    const last = residuals.pop()!;
    const hidden = owned(await network.ends.hidden(last, this.#signal));
    const head = network.checkpoint.lmHead;
    const inputs = { head, target, hidden };
    const { sum, dhidden } = await hiddenDivergence(
      cache,
      inputs,
      network.memory.logitElements,
      this.#signal,
    );
    let { dx: dy } = await network.ends.hiddenBackward(last, dhidden, this.#signal);
    for (let layer = network.layers - 1; layer >= 0; layer--) {
      throwIfCancelled(this.#signal);
      const { spec, tensors } = await this.#context(layer, shape, state);
      const program = await cache.get(CLIPPED_BACKWARD, spec);
      const x = residuals.pop()!;
      const out = await program.run({ ...tensors, x, dy: owned(dy) }, this.#signal);
      for (const [index, value] of out.dfactors.data.entries()) derivatives[layer]![index]! += value;
      dy = out.dx;
    }
    return sum;
  }

  /** What the output layer reads [T, d] at full precision. */
  async #exact(ids: Int32Array, shape: BatchShape): Promise<Reals> {
    const { network } = this.#task;
    let x = await network.embed(ids, this.#signal);
    for (let layer = 0; layer < network.layers; layer++) {
      throwIfCancelled(this.#signal);
      x = await network.layer(layer, x, shape, this.#signal);
    }
    return owned(await network.ends.hidden(x, this.#signal));
  }

  async #context(index: number, batch: BatchShape, state: LearningState) {
    const { network, layers } = this.#task;
    const { shape, types } = network.layerContext(index, batch);
    const inputs: Tensors = await network.layerInputs(index, batch, this.#signal);
    const factors = float32([FACTORS], Float32Array.from(state.layers[index]?.factors ?? []));
    const { quantizers } = layers[index]!;
    return { spec: { shape: { ...shape, quantizers }, types }, tensors: { ...inputs, factors } };
  }
}

/** A copy of its own: programs fill the same memory again. */
const owned = ({ dims, data }: Reals): Reals => float32(dims, data.slice());
