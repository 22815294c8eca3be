import { float32, type HostTensor, type Tensor } from '../../protocol/tensor.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import { ropeTables } from '../model/rope.ts';
import {
  EMBEDDING_NAME,
  FINAL_NORM_NAME,
  type LayerRole,
  LM_HEAD_NAME,
  layerTensorName,
} from '../model/weights.ts';
import { HIDDEN } from '../network/ends-programs.ts';
import { type LayerTypes, typesOf } from '../network/layer-inputs.ts';
import { FORWARD } from '../network/layer-programs.ts';
import {
  type BatchShape,
  FULL_PRECISION,
  type LayerQuantizers,
  type LayerShape,
} from '../network/layer-shape.ts';
import { type NetworkMemory, preparedBytes } from '../network/memory-plan.ts';
import { PreparedWeights, type WeightMaps } from '../network/prepared-weights.ts';
import { NO_MAPS } from '../network/seams.ts';
import { Tape } from '../network/tape.ts';
import { addTo } from './divergence.ts';
import {
  gradientOf,
  HIDDEN_DERIVATIVES,
  inputOf,
  LAYER_DERIVATIVES,
  WEIGHT_DERIVATIVES,
} from './programs.ts';
import { layerWeights, type WeightSet, weightNamed } from './weight-set.ts';

export interface StudentOptions {
  readonly config: ModelConfig;
  /** Those of the deployed network. */
  readonly quantizers: LayerQuantizers;
  readonly memory: NetworkMemory;
}

/** Sums of derivatives by the weights, by their names. */
export type Derivatives = Map<string, Float32Array>;

/** What the output layer reads [T, d], and what the way back needs. */
export interface Passed {
  readonly hidden: Reals;
  readonly ids: Int32Array;
  readonly tape: Tape;
}

/**
 * The quantized network as a function of its weights, which are in memory and change from step to step. Forward it is
 * the deployed network; backward it gives derivatives by weights, straight through their rounding. A layer's activations
 * are computed again on the way back.
 */
export class Student {
  readonly config: ModelConfig;
  readonly memory: NetworkMemory;
  readonly weights: WeightSet;
  readonly #cache: ProgramCache;
  readonly #quantizers: LayerQuantizers;
  readonly #prepared: PreparedWeights;
  readonly #tapes = new Map<string, Tape>();
  readonly #tables = new Map<number, Tensors>();
  /** Changes with the weights. */
  #version: WeightMaps;
  /** Sums over the passes of a step, by layer and program output. */
  #layerSums: Record<string, Float32Array>[] = [];
  #derivatives: Derivatives = new Map();

  /** @param weights are read at every pass, and never written. */
  constructor(cache: ProgramCache, weights: WeightSet, { config, quantizers, memory }: StudentOptions) {
    this.#cache = cache;
    this.#quantizers = quantizers;
    this.config = config;
    this.memory = memory;
    this.weights = weights;
    this.#prepared = new PreparedWeights(cache, preparedBytes(config) <= memory.preparedBytes);
    this.#version = freshVersion();
  }

  /** The output layer [V, d]. */
  get head(): HostTensor<Float32Array> {
    return weightNamed(this.weights, this.#headName);
  }

  get #headName(): string {
    return this.config.tiedEmbeddings ? EMBEDDING_NAME : LM_HEAD_NAME;
  }

  /** To be called when the weights were changed: they are rounded again, and derivatives begin at 0. */
  restart(): void {
    this.#version = freshVersion();
    this.#layerSums = [];
    this.#derivatives = new Map();
  }

  /** The sum of derivatives by a weight so far. */
  sumOf(name: string): Float32Array {
    const known = this.#derivatives.get(name);
    if (known) return known;
    const sum = new Float32Array(weightNamed(this.weights, name).data.length);
    this.#derivatives.set(name, sum);
    return sum;
  }

  /** That of the output layer. */
  get headSum(): Float32Array {
    return this.sumOf(this.#headName);
  }

  async forward(ids: Int32Array, shape: BatchShape, signal?: AbortSignal): Promise<Passed> {
    const tape = this.#tape(shape);
    this.#embed(ids, tape.residual(0));
    for (let layer = 0; layer < this.config.layers; layer++) {
      const { spec, tensors } = await this.#layer(layer, shape, signal);
      const program = await this.#cache.get(FORWARD, { ...spec, mode: 'merged', level: 'nothing' });
      await program.run({ ...tensors, x: tape.residual(layer) }, signal, { y: tape.residual(layer + 1) });
    }
    const program = await this.#cache.get(HIDDEN, this.#ends(ids.length));
    const last = { x: tape.residual(this.config.layers), finalNorm: this.#finalNorm };
    const { hidden } = await program.run(last, signal);
    return { hidden, ids, tape };
  }

  /** Adds to the derivatives by all weights but the output layer's. @param dhidden ∂loss/∂hidden [T, d]. */
  async backward({ ids, tape }: Passed, dhidden: Reals, signal?: AbortSignal): Promise<void> {
    const { layers } = this.config;
    const ends = await this.#cache.get(HIDDEN_DERIVATIVES, this.#ends(ids.length));
    const given = { x: tape.residual(layers), finalNorm: this.#finalNorm, dy: dhidden };
    const found = await ends.run(given, signal);
    addTo(this.sumOf(FINAL_NORM_NAME), resultNamed(found, gradientOf('finalNorm')).data);
    let dy = resultNamed(found, gradientOf('x'));
    for (let layer = layers - 1; layer >= 0; layer--) {
      const { spec, tensors } = await this.#layer(layer, tape.shape, signal);
      const program = await this.#cache.get(LAYER_DERIVATIVES, spec);
      const into = { [gradientOf('x')]: tape.gradient(layer) };
      const out = await program.run({ ...tensors, x: tape.residual(layer), dy }, signal, into);
      dy = resultNamed(out, gradientOf('x'));
      this.#add(layer, out);
    }
    this.#scatter(ids, dy.data);
  }

  /** The derivatives by all weights, of the passes since {@link restart}. */
  async derivatives(signal?: AbortSignal): Promise<ReadonlyMap<string, Float32Array>> {
    for (const [layer, sums] of this.#layerSums.entries()) {
      const { shape, types } = this.#context(layer, ONE_TOKEN);
      const program = await this.#cache.get(WEIGHT_DERIVATIVES, {
        shape: { ...shape, quantizers: { ...FULL_PRECISION, weights: this.#quantizers.weights } },
        types,
        ratios: 'inside',
      });
      const seeds = Object.entries(sums).map(([name, data]): [string, Tensor] => [
        name,
        float32(preparedDims(types, name) ?? [data.length], data),
      ]);
      const own = layerWeights(this.weights, this.config, layer);
      const found = await program.run({ ...own, ...Object.fromEntries(seeds) }, signal);
      for (const [name, { data }] of Object.entries(found)) this.#put(layer, name, data);
      for (const [name, data] of Object.entries(sums))
        if (preparedDims(types, name) === null) this.#put(layer, name, data);
    }
    this.#layerSums = [];
    return this.#derivatives;
  }

  #put(layer: number, gradient: string, data: Float32Array): void {
    // The inputs of a layer's programs, but for prepared weights, have the names of its tensors.
    this.#derivatives.set(layerTensorName(layer, inputOf(gradient) as LayerRole), data);
  }

  #add(layer: number, { [gradientOf('x')]: _, ...found }: Record<string, Reals>): void {
    const sums = this.#layerSums[layer];
    if (!sums) {
      this.#layerSums[layer] = Object.fromEntries(
        Object.entries(found).map(([name, { data }]) => [name, data]),
      );
      return;
    }
    for (const [name, { data }] of Object.entries(found)) addTo(sums[name]!, data);
  }

  /** x_t = E[ids_t]. */
  #embed(ids: Int32Array, { data }: Reals): void {
    const table = weightNamed(this.weights, EMBEDDING_NAME).data;
    const width = this.config.hiddenSize;
    ids.forEach((id, t) => {
      data.set(table.subarray(id * width, (id + 1) * width), t * width);
    });
  }

  /** ∂E[id] is the sum of dx over the tokens that are `id`. */
  #scatter(ids: Int32Array, dx: Float32Array): void {
    const sum = this.sumOf(EMBEDDING_NAME);
    const width = this.config.hiddenSize;
    ids.forEach((id, t) => {
      addTo(sum.subarray(id * width, (id + 1) * width), dx.subarray(t * width, (t + 1) * width));
    });
  }

  get #finalNorm(): Reals {
    return weightNamed(this.weights, FINAL_NORM_NAME);
  }

  #ends(tokens: number) {
    const real = 'float32' as const;
    const types = { embeddingType: real, headType: real, normType: real };
    return { config: this.config, tokens, mapped: false, centreEmbedding: false, ...types };
  }

  async #layer(layer: number, batch: BatchShape, signal?: AbortSignal) {
    const context = this.#context(layer, batch);
    const prepared = await this.#prepared.of(layer, context, this.#version, signal);
    const { shape, types, tensors } = context;
    return { spec: { shape, types }, tensors: { ...tensors, ...prepared } };
  }

  #context(layer: number, batch: BatchShape): { shape: LayerShape; types: LayerTypes; tensors: Tensors } {
    const { config } = this;
    const own = layerWeights(this.weights, config, layer);
    const limit = config.layerWindows[layer] ?? null;
    const window = limit !== null && limit < batch.sequence ? limit : null;
    const { sequence } = batch;
    const shape = {
      batch: batch.batch,
      sequence,
      config,
      window,
      quantizers: this.#quantizers,
      maps: NO_MAPS,
    };
    return {
      shape,
      types: typesOf(own, this.#cache.runtime),
      tensors: { ...own, ...this.#angles(sequence) },
    };
  }

  #angles(sequence: number): Tensors {
    const known = this.#tables.get(sequence);
    if (known) return known;
    const { cos, sin } = ropeTables(this.config, sequence);
    const dims = [sequence, this.config.headDim / 2];
    const tables = { cos: float32(dims, cos), sin: float32(dims, sin) };
    this.#tables.set(sequence, tables);
    return tables;
  }

  #tape(shape: BatchShape): Tape {
    const key = `${shape.batch}x${shape.sequence}`;
    const tape = this.#tapes.get(key) ?? new Tape(this.config, { ...shape, activationCodes: false }, 0);
    this.#tapes.set(key, tape);
    return tape;
  }
}

const ONE_TOKEN: BatchShape = { batch: 1, sequence: 1 };

/** Clip ratios are searched on the same weights as are rounded. */
function freshVersion(): WeightMaps {
  const none = {};
  return { now: none, searchedAt: none };
}

/** Shape of a weight whose prepared form a derivative belongs to; null for another derivative. */
function preparedDims(types: LayerTypes, gradient: string): readonly number[] | null {
  const [linear = '', prepared] = inputOf(gradient).split('.');
  return prepared === undefined ? null : (types[linear]?.dims ?? null);
}

function resultNamed(results: Readonly<Record<string, Reals>>, name: string): Reals {
  const found = results[name];
  if (found) return found;
  throw new Error(`the program gives no ${name}`);
}
