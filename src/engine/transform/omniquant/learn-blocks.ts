import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LINEARS } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import { recordOf } from '../../../protocol/records.ts';
import { elementCount, float32 } from '../../../protocol/tensor.ts';
import { type ActivationStore, openActivationStore } from '../../calibration/activation-store.ts';
import type { Reals, Tensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { gridsPerRow } from '../../network/clipped-weight.ts';
import {
  gridsOf,
  type LearnedGrids,
  type LearnedLayer,
  type LearnedLayers,
  type LearnedSizes,
} from '../../network/learned-grids.ts';
import type { Network } from '../../network/network.ts';
import { withScaleGradient } from '../../network/quantizers.ts';
import { type SeamMaps, seamOf } from '../../network/seams.ts';
import { Rng } from '../../rotation/random.ts';
import { requireFinite } from '../layerwise/finite-loss.ts';
import {
  type BlockSpec,
  corrections,
  firstParameters,
  nextOf,
  QUANTIZED_BLOCK,
  STEP,
  type StepState,
} from './block.ts';
import { layoutOf, learnedLayer, type ScaledSeam } from './parameters.ts';
import { firstScales, largerOf, type Maxima, READER_MAXIMA, REFERENCE_BLOCK } from './reference.ts';

/** Name of the method in events. */
const METHOD = 'omniquant';
/** Progress is reported so often. */
const INTERVAL_MS = 500;
/** Steps between looks at the clock. */
const STEPS_AT_ONCE = 8;

export interface LearnTask {
  /** The checkpoint's own network. */
  readonly plain: Network;
  /** Merged and quantized, with the maps so far. */
  readonly quantized: Network;
  /** Seams whose scales are learned. */
  readonly seams: readonly ScaledSeam[];
  /** Token blocks of one length. */
  readonly blocks: readonly Int32Array[];
  readonly options: LearnOptions;
  /** Folder of the learned layers, also of those that an interrupted call left. */
  readonly layers: LearnedLayers;
}

export interface LearnOptions {
  readonly epochs: number;
  readonly clipLearningRate: number;
  readonly scaleLearningRate: number;
  readonly alpha: number;
  /** Decides the order of the sequences in each epoch. */
  readonly seed: number;
}

/**
 * OmniQuant (Shao et al. 2024, eq. 1): block by block, scales of channels and factors of the grids' ends that bring the
 * output of the quantized block on what the quantized blocks before hand on as near as can be to that of the
 * full-precision block on what the full-precision ones hand on. Layers that are learned already are passed through only.
 */
export async function* learnBlocks(
  cache: ProgramCache,
  task: LearnTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, LearnedGrids> {
  const { layers, quantized } = task;
  const kept = layers.readAll(quantized.layers);
  if (kept) return gridsOf(kept);
  await mkdir(layers.folder, { recursive: true });
  const learner = await BlockLearner.open(cache, task, signal);
  try {
    await learner.embed();
    const learned: LearnedLayer[] = [];
    for (let layer = 0; layer < quantized.layers; layer++) learned.push(yield* learner.layer(layer));
    return gridsOf(learned);
  } finally {
    await learner.close();
  }
}

/** The calibration text before one layer after the other, at full precision and quantized. */
class BlockLearner {
  readonly #cache: ProgramCache;
  readonly #task: LearnTask;
  /** Residuals of the sequences: of the full-precision network, and of the quantized one. */
  readonly #exact: ActivationStore;
  readonly #rounded: ActivationStore;
  readonly #signal: AbortSignal | undefined;
  readonly #random: Rng;
  #lastSaid = performance.now();

  private constructor(
    cache: ProgramCache,
    task: LearnTask,
    [exact, rounded]: readonly [ActivationStore, ActivationStore],
    signal: AbortSignal | undefined,
  ) {
    this.#cache = cache;
    this.#task = task;
    this.#exact = exact;
    this.#rounded = rounded;
    this.#signal = signal;
    this.#random = new Rng(task.options.seed).split(METHOD);
  }

  static async open(cache: ProgramCache, task: LearnTask, signal?: AbortSignal): Promise<BlockLearner> {
    const { blocks, quantized, layers } = task;
    const { hiddenSize } = quantized.checkpoint.config;
    const sizes = blocks.map((ids) => ids.length * hiddenSize);
    const store = async (name: string): Promise<ActivationStore> => {
      const path = join(layers.folder, `.${name}.tmp`);
      await rm(path, { force: true });
      return openActivationStore(sizes, quantized.memory.groupBytes / 2, async () => path);
    };
    return new BlockLearner(cache, task, [await store('exact'), await store('rounded')], signal);
  }

  async embed(): Promise<void> {
    const { blocks, quantized } = this.#task;
    for (const [index, ids] of blocks.entries()) {
      throwIfCancelled(this.#signal);
      const { data } = await quantized.embed(ids, this.#signal);
      await this.#exact.write(index, data);
      await this.#rounded.write(index, data);
    }
  }

  /** Learns a layer, or takes what was learned before, and moves both streams behind it. */
  async *layer(layer: number): AsyncGenerator<RunEvent, LearnedLayer> {
    const { layers, quantized } = this.#task;
    const maxima = await this.#reference(layer);
    const kept = layers.read(layer);
    const learned = kept ?? (yield* this.#learn(layer, maxima));
    if (!kept) await layers.write(layer, learned);
    // Nothing reads what the last layer gives.
    if (layer + 1 < quantized.layers) await this.#advance(layer, learned);
    return learned;
  }

  /** Takes the full-precision stream through a layer. @returns the largest magnitudes on the way. */
  async #reference(layer: number): Promise<Maxima> {
    const { blocks, plain, quantized, seams } = this.#task;
    let maxima: Maxima | null = null;
    for (const index of blocks.keys()) {
      throwIfCancelled(this.#signal);
      const { shape, types, tensors } = plain.layerContext(layer, this.#batch);
      const { maps } = quantized.options;
      const program = await this.#cache.get(REFERENCE_BLOCK, { shape: { ...shape, maps }, types, seams });
      const inputs = { ...tensors, ...quantized.maps(layer), x: await this.#rows(this.#exact, index) };
      const { y, ...largest } = await program.run(inputs, this.#signal);
      maxima = largerOf(maxima, largest);
      await this.#exact.write(index, y.data);
    }
    return maxima ?? {};
  }

  async *#learn(layer: number, maxima: Maxima): AsyncGenerator<RunEvent, LearnedLayer> {
    const { options, seams, quantized } = this.#task;
    const { spec, tensors } = this.#block(layer);
    const { config } = quantized.checkpoint;
    const rates = { clips: options.clipLearningRate, scales: options.scaleLearningRate };
    const program = await this.#cache.get(STEP, { ...spec, seams, rates });
    const layout = layoutOf(config, spec.types, spec.shape.quantizers.weights, seams);
    const start = await this.#firstScales(layer, maxima);
    // A step writes beside what it reads, so two states take turns.
    let [state, next] = [stateOf(firstParameters(layout, start)), stateOf(new Float32Array(layout.size))];
    let step = 0;
    let loss = 0;
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      let sum = 0;
      for (const [done, index] of this.#order(layer, epoch).entries()) {
        if (step % STEPS_AT_ONCE === 0) throwIfCancelled(this.#signal);
        const inputs = { ...tensors, ...state, ...(await this.#pair(index)), ...correctionTensors(step) };
        const out = await program.run(inputs, this.#signal, nextOf(next));
        [state, next] = [next, state];
        step++;
        sum += requireFinite(out.loss.data[0]!, layer, 'rounding/not-finite');
        loss = sum / (done + 1);
        if (this.#isDue()) yield this.#progress(layer, step, loss);
      }
    }
    yield this.#progress(layer, step, loss);
    return learnedLayer(state.parameters.data, layout, config);
  }

  async #firstScales(layer: number, maxima: Maxima): Promise<Partial<Record<ScaledSeam, ArrayLike<number>>>> {
    const { seams, quantized, options } = this.#task;
    if (seams.length === 0) return {};
    const { shape, types, tensors } = quantized.layerContext(layer, { batch: 1, sequence: 1 });
    const program = await this.#cache.get(READER_MAXIMA, { shape, types, seams });
    const readers = await program.run({ ...tensors, ...quantized.maps(layer) }, this.#signal);
    return firstScales(maxima, readers, options.alpha);
  }

  /** Takes the quantized stream through a layer. */
  async #advance(layer: number, { maps, clips }: LearnedLayer): Promise<void> {
    const { spec, tensors } = this.#block(layer);
    const program = await this.#cache.get(QUANTIZED_BLOCK, spec);
    const { weights } = spec.shape.quantizers;
    const own: Record<string, Reals> = {};
    for (const [seam, factors] of Object.entries(maps)) own[seam] = float32([factors.length], factors);
    for (const linear of LINEARS) {
      const [rows = 0, columns = 0] = spec.types[linear]?.dims ?? [];
      const dims = [rows, gridsPerRow(columns, weights)];
      own[`${linear}.upper`] = float32(dims, clips[linear].upper);
      own[`${linear}.lower`] = float32(dims, clips[linear].lower);
    }
    for (const index of this.#task.blocks.keys()) {
      throwIfCancelled(this.#signal);
      const x = await this.#rows(this.#rounded, index);
      const { y } = await program.run({ ...tensors, ...own, x }, this.#signal);
      await this.#rounded.write(index, y.data);
    }
  }

  /** A layer of the quantized network with the seams that are learned. */
  #block(layer: number): { readonly spec: BlockSpec; readonly tensors: Tensors } {
    const { quantized, seams } = this.#task;
    const { shape, types, tensors } = quantized.layerContext(layer, this.#batch);
    const maps: SeamMaps = { ...shape.maps, ...scaledMaps(seams) };
    const quantizers = withScaleGradient(shape.quantizers);
    const spec = { shape: { ...shape, maps, quantizers, weightForm: 'numbers' as const }, types };
    return { spec, tensors: { ...tensors, ...quantized.maps(layer) } };
  }

  get #batch() {
    return { batch: 1, sequence: this.#task.blocks[0]?.length ?? 0 };
  }

  async #rows(store: ActivationStore, index: number): Promise<Reals> {
    const data = await store.read(index);
    const { hiddenSize } = this.#task.quantized.checkpoint.config;
    return float32([data.length / hiddenSize, hiddenSize], data);
  }

  /** What a block reads of a sequence, and what it should give. */
  async #pair(index: number): Promise<Record<'x' | 'target', Reals>> {
    return {
      x: await this.#rows(this.#rounded, index),
      target: await this.#rows(this.#exact, index),
    };
  }

  /** Sequences in an order of their own for each epoch of each layer, whatever ran before. */
  #order(layer: number, epoch: number): number[] {
    return this.#random.split(`${layer} ${epoch}`).permutation(this.#task.blocks.length);
  }

  #isDue(): boolean {
    if (performance.now() - this.#lastSaid < INTERVAL_MS) return false;
    this.#lastSaid = performance.now();
    return true;
  }

  #progress(layer: number, step: number, loss: number): RunEvent {
    const { options, blocks, quantized } = this.#task;
    const { layers } = quantized;
    const done = (layer + step / (options.epochs * blocks.length)) / layers;
    return timed({ type: 'rounding-progress', method: METHOD, layersDone: layer, layers, done, loss });
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#exact.close(), this.#rounded.close()]);
  }
}

/** The maps of seams whose scales are learned. */
export function scaledMaps(seams: readonly ScaledSeam[]): SeamMaps {
  return Object.fromEntries(seams.map((seam) => [seam, { kind: 'diagonal' }]));
}

/** Numbers of each map, and of each end of a layer's grids. */
export function learnedSizes({ quantized, seams }: Pick<LearnTask, 'quantized' | 'seams'>): LearnedSizes {
  const { config } = quantized.checkpoint;
  const { types } = quantized.layerContext(0, { batch: 1, sequence: 1 });
  const { clips } = layoutOf(config, types, quantized.options.quantizers.weights, seams);
  return {
    maps: Object.fromEntries(seams.map((seam) => [seam, seamOf(seam, config).channels])),
    clips: recordOf(LINEARS, (linear) => elementCount(clips[linear].upper.dims)),
  };
}

function stateOf(parameters: Float32Array): StepState {
  const dims = [parameters.length];
  const zeros = () => float32(dims, new Float32Array(parameters.length));
  return { parameters: float32(dims, parameters), mean: zeros(), square: zeros() };
}

function correctionTensors(step: number): Tensors {
  const { correction1, correction2 } = corrections(step);
  const scalar = (value: number) => float32([], Float32Array.of(value));
  return { correction1: scalar(correction1), correction2: scalar(correction2) };
}
