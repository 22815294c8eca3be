import type { Tensor } from '../../protocol/tensor.ts';
import type { HostTensors, Program, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { LayerTypes } from './layer-inputs.ts';
import { type ClipRatios, compilePrepare, isRatio } from './layer-programs.ts';
import type { LayerShape } from './layer-shape.ts';

/** R1 and every R2 as program inputs. The object stands for its content: new rotations are a new object. */
export interface MatrixTensors {
  readonly r1: Tensor | null;
  readonly r2: readonly Tensor[] | null;
}

/** Rotations to prepare weights with, and those that clip ratios are searched on. */
export interface WeightRotations {
  readonly now: MatrixTensors;
  readonly searchedAt: MatrixTensors;
}

interface LayerContext {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  readonly tensors: Tensors;
}

interface Held {
  readonly layer: number;
  readonly rotations: WeightRotations;
  readonly tensors: HostTensors;
}

/**
 * Rotated and rounded weights, computed once per rotation: of all layers, or of one layer at a time. New ones are
 * written into the memory of the old: the layers of a network are of one shape.
 */
export class PreparedWeights {
  readonly #cache: ProgramCache;
  readonly #keepsAll: boolean;
  readonly #held: (Held | undefined)[] = [];
  readonly #ratios: { readonly searchedAt: MatrixTensors; readonly tensors: HostTensors }[] = [];

  constructor(cache: ProgramCache, keepsAll: boolean) {
    this.#cache = cache;
    this.#keepsAll = keepsAll;
  }

  /** Ŵ of a layer, by program input name. */
  async of(
    layer: number,
    context: LayerContext,
    rotations: WeightRotations,
    signal?: AbortSignal,
  ): Promise<Tensors> {
    const slot = this.#keepsAll ? layer : 0;
    const held = this.#held[slot];
    if (held?.layer === layer && held.rotations === rotations) return held.tensors;
    this.#held[slot] = undefined;
    const tensors = await this.#prepare(layer, context, rotations, held?.tensors, signal);
    this.#held[slot] = { layer, rotations, tensors };
    return tensors;
  }

  async #prepare(
    layer: number,
    context: LayerContext,
    { now, searchedAt }: WeightRotations,
    into: HostTensors | undefined,
    signal?: AbortSignal,
  ): Promise<HostTensors> {
    const { bits, clipSearch } = context.shape.quantizers.weights;
    const inputs = (matrices: MatrixTensors): Tensors => ({
      ...context.tensors,
      ...(matrices.r1 && { r1: matrices.r1 }),
      ...(matrices.r2 && { r2: matrices.r2[layer]! }),
    });
    if (bits >= 16 || !clipSearch) {
      return (await this.#program(context, 'inside')).run(inputs(now), signal, into);
    }
    if (this.#ratios[layer]?.searchedAt !== searchedAt) {
      const found = await (await this.#program(context, 'out')).run(inputs(searchedAt), signal, into);
      const { ratios, weights } = split(found);
      this.#ratios[layer] = { searchedAt, tensors: ratios };
      if (searchedAt === now) return weights;
    }
    const given = { ...inputs(now), ...this.#ratios[layer]!.tensors };
    return (await this.#program(context, 'in')).run(given, signal, into);
  }

  #program({ shape, types }: LayerContext, ratios: ClipRatios): Promise<Program> {
    const { config, quantizers, rotations, weightCodes, precision } = shape;
    const key = JSON.stringify([config, quantizers.weights, rotations, weightCodes, precision, types]);
    return this.#cache.get(`prepare ${ratios} ${key}`, (runtime) =>
      compilePrepare(runtime, shape, types, ratios),
    );
  }
}

function split(tensors: HostTensors): { ratios: HostTensors; weights: HostTensors } {
  const entries = Object.entries(tensors);
  return {
    ratios: Object.fromEntries(entries.filter(([name]) => isRatio(name))),
    weights: Object.fromEntries(entries.filter(([name]) => !isRatio(name))),
  };
}
