import { LINEARS } from '../../protocol/block.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import type { HostTensors, Program, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { LayerTypes } from './layer-inputs.ts';
import { type ClipRatios, isRatio, PREPARE, searchesRatio } from './layer-programs.ts';
import { FULL_PRECISION, type LayerQuantizers, type LayerShape, weightQuantizer } from './layer-shape.ts';
import { type MapTensors, mapsOfLayer } from './map-tensors.ts';
import { weightsAlone } from './network-quantizers.ts';
import { packs } from './packed-weights.ts';

/** Maps to prepare weights with, and those that clip ratios are searched on. */
export interface WeightMaps {
  readonly now: MapTensors;
  readonly searchedAt: MapTensors;
}

interface LayerContext {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  readonly tensors: Tensors;
}

interface Held {
  readonly layer: number;
  readonly quantizers: LayerQuantizers;
  readonly maps: WeightMaps;
  readonly tensors: HostTensors;
}

/**
 * Mapped and rounded weights, computed once for the same maps: of all layers, or of one layer at a time. New ones are
 * written into the memory of the old: layers of equal quantizers are of one shape.
 */
export class PreparedWeights {
  readonly #cache: ProgramCache;
  readonly #keepsAll: boolean;
  readonly #precision: Precision | undefined;
  readonly #held: (Held | undefined)[] = [];
  readonly #ratios: { readonly searchedAt: MapTensors; readonly tensors: HostTensors }[] = [];

  /** @param precision of the products that rotate weights; that of the layer's where absent. */
  constructor(cache: ProgramCache, keepsAll: boolean, precision?: Precision) {
    this.#cache = cache;
    this.#keepsAll = keepsAll;
    this.#precision = precision;
  }

  /** Ŵ of a layer, by program input name. */
  async of(layer: number, context: LayerContext, maps: WeightMaps, signal?: AbortSignal): Promise<Tensors> {
    const slot = this.#keepsAll ? layer : 0;
    const held = this.#held[slot];
    if (held?.layer === layer && held.maps === maps) return held.tensors;
    this.#held[slot] = undefined;
    const { quantizers } = context.shape;
    const into = held?.quantizers === quantizers ? held.tensors : undefined;
    const tensors = await this.#prepare(layer, context, maps, into, signal);
    this.#held[slot] = { layer, quantizers, maps, tensors };
    return tensors;
  }

  /** Frees the weights of all layers. */
  forget(): void {
    this.#held.length = 0;
  }

  async #prepare(
    layer: number,
    context: LayerContext,
    { now, searchedAt }: WeightMaps,
    into: HostTensors | undefined,
    signal?: AbortSignal,
  ): Promise<HostTensors> {
    const { quantizers } = context.shape;
    const inputs = (maps: MapTensors): Tensors => ({ ...context.tensors, ...mapsOfLayer(maps, layer) });
    if (!LINEARS.some((linear) => searchesRatio(weightQuantizer(linear, quantizers)))) {
      return (await this.#program(context, 'inside')).run(inputs(now), signal, into);
    }
    let known = this.#ratios[layer];
    if (known?.searchedAt !== searchedAt) {
      const found = await (await this.#program(context, 'out')).run(inputs(searchedAt), signal, into);
      const { ratios, weights } = split(found);
      known = { searchedAt, tensors: ratios };
      this.#ratios[layer] = known;
      if (searchedAt === now) return weights;
    }
    const given = { ...inputs(now), ...known.tensors };
    return (await this.#program(context, 'in')).run(given, signal, into);
  }

  #program({ shape, types }: LayerContext, ratios: ClipRatios): Promise<Program> {
    // The batch does not touch the weights, and quantizers of activations only decide which are packed.
    const { config, quantizers, maps, weightForm = 'numbers' } = shape;
    const precision = this.#precision ?? shape.precision;
    const own = packs(weightForm) ? quantizers : { ...FULL_PRECISION, ...weightsAlone(quantizers) };
    return this.#cache.get(PREPARE, {
      shape: { config, quantizers: own, maps, weightForm, precision },
      types,
      ratios,
    });
  }
}

function split(tensors: HostTensors): { ratios: HostTensors; weights: HostTensors } {
  const entries = Object.entries(tensors);
  return {
    ratios: Object.fromEntries(entries.filter(([name]) => isRatio(name))),
    weights: Object.fromEntries(entries.filter(([name]) => !isRatio(name))),
  };
}
