import { mkdir } from 'node:fs/promises';
import { LINEARS, type RoundedSite } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import { partialOf, recordOf } from '../../../protocol/records.ts';
import { float32 } from '../../../protocol/tensor.ts';
import { type ActivationStore, openActivationStore } from '../../calibration/activation-store.ts';
import type { Reals, Tensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { kroneckerSize } from '../../network/kronecker.ts';
import {
  gridsOf,
  type LearnedLayer,
  type LearnedLayers,
  type LearnedSizes,
} from '../../network/learned-grids.ts';
import type { Network } from '../../network/network.ts';
import { withScaleGradient } from '../../network/quantizers.ts';
import { type SeamState, seamOf } from '../../network/seams.ts';
import { Rng } from '../../rotation/random.ts';
import { requireFinite } from '../layerwise/finite-loss.ts';
import { FLAT_SEAMS, type FlatSeam, type FlatSpec, LAYER_STEP, logitSizes } from './block.ts';
import { LayerNumbers } from './layer-numbers.ts';
import { cosineRate, type LearnedMap } from './parameters.ts';
import { firstGains, READER_MAXIMA, REFERENCE_LAYER } from './reference.ts';
import { publishedStart, rotatedStart } from './start.ts';

/** Name of the method in events. */
const METHOD = 'flatquant';
/** Progress is reported so often. */
const INTERVAL_MS = 500;
/** Steps between looks at the clock. */
const STEPS_AT_ONCE = 8;

export interface FlatTask {
  /** Merged, with the maps so far, at full precision; and quantized as deployed, with maps of Kronecker. */
  readonly exact: Network;
  readonly quantized: Network;
  /** Sites of a layer whose clip ratio is left to be found. */
  readonly clipped: (layer: number) => readonly RoundedSite[];
  /** Token blocks of one length. */
  readonly blocks: readonly Int32Array[];
  readonly options: FlatOptions;
  /** Opens the folder of the learned layers, also of those that an interrupted call left. */
  readonly kept: (sizes: LearnedSizes) => Promise<LearnedLayers>;
  readonly scratch: () => Promise<string>;
}

export interface FlatOptions {
  readonly epochs: number;
  readonly learningRate: number;
  readonly clipLearningRate: number;
  readonly alpha: number;
  /** Decides where maps start, and the order of the sequences in each epoch. */
  readonly seed: number;
}

/**
 * FlatQuant (Sun et al. 2025, eq. 4): for each layer by itself, maps diag(s) (P₁ ⊗ P₂) and factors of the ends of grids
 * that bring its quantized output on what the full-precision layers hand on as near as can be to its own at full
 * precision. P is free, and its inverse is that of double precision.
 */
export async function* learnLayers(
  cache: ProgramCache,
  task: FlatTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, SeamState> {
  const layers = await task.kept(learnedSizes(task.quantized));
  const { layers: count } = task.quantized;
  const known = layers.readAll(count);
  if (known) return gridsOf(known).state;
  await mkdir(layers.folder, { recursive: true });
  const learner = await LayerLearner.open(cache, task, signal);
  try {
    await learner.embed();
    const learned: LearnedLayer[] = [];
    for (let layer = 0; layer < count; layer++) {
      const maxima = await learner.reference(layer);
      const kept = layers.read(layer);
      const own = kept ?? (yield* learner.learn(layer, maxima));
      if (!kept) await layers.write(layer, own);
      learned.push(own);
      learner.advance();
    }
    return gridsOf(learned).state;
  } finally {
    await learner.close();
  }
}

type Sizes = Record<FlatSeam, Float32Array>;

/** The calibration text before and behind one layer after the other. */
class LayerLearner {
  readonly #cache: ProgramCache;
  readonly #task: FlatTask;
  #before: ActivationStore;
  #behind: ActivationStore;
  readonly #signal: AbortSignal | undefined;
  readonly #random: Rng;
  #lastSaid = performance.now();

  private constructor(
    cache: ProgramCache,
    task: FlatTask,
    [before, behind]: readonly [ActivationStore, ActivationStore],
    signal: AbortSignal | undefined,
  ) {
    this.#cache = cache;
    this.#task = task;
    this.#before = before;
    this.#behind = behind;
    this.#signal = signal;
    this.#random = new Rng(task.options.seed).split(METHOD);
  }

  static async open(cache: ProgramCache, task: FlatTask, signal?: AbortSignal): Promise<LayerLearner> {
    const { blocks, exact, scratch } = task;
    const sizes = blocks.map((ids) => ids.length * exact.checkpoint.config.hiddenSize);
    const store = (name: string): Promise<ActivationStore> =>
      openActivationStore(sizes, exact.memory.groupBytes / 2, async () => `${await scratch()}-${name}.tmp`);
    return new LayerLearner(cache, task, [await store('before'), await store('behind')], signal);
  }

  async embed(): Promise<void> {
    const { blocks, exact } = this.#task;
    for (const [index, ids] of blocks.entries()) {
      throwIfCancelled(this.#signal);
      await this.#before.write(index, (await exact.embed(ids, this.#signal)).data);
    }
  }

  /** Takes the text through a layer at full precision. @returns the largest magnitudes of channels on the way. */
  async reference(layer: number): Promise<Sizes> {
    const { blocks, exact } = this.#task;
    const { shape, types } = exact.layerContext(layer, this.#batch);
    const program = await this.#cache.get(REFERENCE_LAYER, { shape, types });
    const tensors = await exact.layerInputs(layer, this.#batch, this.#signal);
    const { config } = exact.checkpoint;
    const maxima = recordOf(FLAT_SEAMS, (seam) => new Float32Array(seamOf(seam, config).width));
    for (const index of blocks.keys()) {
      throwIfCancelled(this.#signal);
      const { y, ...largest } = await program.run(
        { ...tensors, x: await this.#rows(this.#before, index) },
        this.#signal,
      );
      await this.#behind.write(index, y.data);
      for (const seam of FLAT_SEAMS)
        for (const [i, value] of largest[seam].data.entries())
          maxima[seam][i] = Math.max(maxima[seam][i]!, value);
    }
    return maxima;
  }

  /** What is behind a layer is before the next. */
  advance(): void {
    [this.#before, this.#behind] = [this.#behind, this.#before];
  }

  async *learn(layer: number, maxima: Sizes): AsyncGenerator<RunEvent, LearnedLayer> {
    const { options, blocks } = this.#task;
    const { spec, tensors } = this.#block(layer);
    const program = await this.#cache.get(LAYER_STEP, spec);
    const learned = new LayerNumbers(await this.#firstMaps(layer, maxima), logitSizes(spec));
    const steps = options.epochs * blocks.length;
    let step = 0;
    let mean = 0;
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      let sum = 0;
      for (const [done, index] of this.#order(layer, epoch).entries()) {
        if (step % STEPS_AT_ONCE === 0) throwIfCancelled(this.#signal);
        const text = {
          x: await this.#rows(this.#before, index),
          target: await this.#rows(this.#behind, index),
        };
        const out = await program.run({ ...tensors, ...text, ...learned.tensors() }, this.#signal);
        const loss = requireFinite(out.loss.data[0]!, layer, 'scaling/not-finite');
        learned.step(out, {
          scale: loss > 0 ? 1 / loss : 0,
          rates: {
            maps: cosineRate(options.learningRate, step, steps),
            clips: cosineRate(options.clipLearningRate, step, steps),
          },
          step,
        });
        step++;
        sum += loss;
        mean = sum / (done + 1);
        if (this.#isDue()) yield this.#progress(layer, step / steps, mean);
      }
    }
    yield this.#progress(layer, 1, mean);
    return learned.layer();
  }

  async #firstMaps(layer: number, maxima: Sizes): Promise<Record<FlatSeam, LearnedMap>> {
    const { exact, options } = this.#task;
    const random = this.#random.split(`${layer} start`);
    if (exact.options.maps.residual) return rotatedStart(exact.checkpoint.config, random);
    const { shape, types, tensors } = exact.layerContext(layer, { batch: 1, sequence: 1 });
    const program = await this.#cache.get(READER_MAXIMA, { shape, types });
    const readers = await program.run({ ...tensors, ...exact.maps(layer) }, this.#signal);
    return publishedStart(
      recordOf(FLAT_SEAMS, (seam) => firstGains(maxima[seam], readers[seam].data, options.alpha)),
      random,
    );
  }

  /** A layer of the quantized network, and what it reads beside what is learned. */
  #block(layer: number): { readonly spec: FlatSpec; readonly tensors: Tensors } {
    const { quantized, clipped } = this.#task;
    const { shape, types, tensors } = quantized.layerContext(layer, this.#batch);
    const quantizers = withScaleGradient(shape.quantizers);
    const spec = {
      shape: { ...shape, quantizers, weightForm: 'numbers' as const },
      types,
      clipped: clipped(layer),
    };
    return { spec, tensors: { ...tensors, ...quantized.maps(layer) } };
  }

  get #batch() {
    return { batch: 1, sequence: this.#task.blocks[0]?.length ?? 0 };
  }

  async #rows(store: ActivationStore, index: number): Promise<Reals> {
    const data = await store.read(index);
    const { hiddenSize } = this.#task.exact.checkpoint.config;
    return float32([data.length / hiddenSize, hiddenSize], data);
  }

  /** Sequences in an order of their own for each epoch of each layer, whatever ran before. */
  #order(layer: number, epoch: number): number[] {
    return this.#random.split(`${layer} order ${epoch}`).permutation(this.#task.blocks.length);
  }

  #isDue(): boolean {
    if (performance.now() - this.#lastSaid < INTERVAL_MS) return false;
    this.#lastSaid = performance.now();
    return true;
  }

  #progress(layer: number, share: number, loss: number): RunEvent {
    const { layers } = this.#task.quantized;
    const done = (layer + share) / layers;
    return timed({ type: 'rounding-progress', method: METHOD, layersDone: layer, layers, done, loss });
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#before.close(), this.#behind.close()]);
  }
}

/** Numbers of each map of a layer. Ends of grids serve while maps are learned: rounding has its own. */
function learnedSizes({ checkpoint: { config } }: Network): LearnedSizes {
  return {
    maps: partialOf(FLAT_SEAMS, (seam) => kroneckerSize(seamOf(seam, config).width)),
    clips: recordOf(LINEARS, () => 0),
  };
}
