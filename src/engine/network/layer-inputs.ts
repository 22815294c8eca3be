import { type Linear, SEAM_NAMES, type SeamName, type Site } from '../../protocol/block.ts';
import { partialOf } from '../../protocol/records.ts';
import type { DType, Tensor } from '../../protocol/tensor.ts';
import { scaledRows } from '../graph/fused/gemm-bfloat16.ts';
import type { PackedInt4 } from '../graph/fused/int4-matmul.ts';
import { rowMultiples } from '../graph/fused/row-codes.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { expand, reshape } from '../graph/ops/shape.ts';
import type { LayerWeights } from '../model/checkpoint.ts';
import type { Runtime } from '../runtime/types.ts';
import type { LayerShape } from './layer-shape.ts';
import { hasCodesBeside, isCodes, isPacked, packedInputs } from './packed-weights.ts';
import { mapDims, type SeamMaps, seamOf } from './seams.ts';
import { IDENTITY, inverseTransposed, kroneckerOf, type SideTransform } from './side-transform.ts';

/** Input name of a mapped and rounded weight. */
export const preparedName = (linear: Linear): string => `${linear}.prepared`;

/** Input name of the scales [out] of a weight that is prepared as codes. */
export const scaleName = (linear: Linear): string => `${linear}.scale`;

/** Numbers of maps as values of a graph, by seam. */
export type MadeMaps = Readonly<Partial<Record<SeamName, Value>>>;

/** These decide the inputs of a layer's graph, beside the types of its tensors. */
type WeightsShape = Pick<LayerShape, 'config' | 'maps' | 'quantizers' | 'weightForm'>;

/** Graph inputs of one layer, created where the mode of the network asks for them. */
export class LayerInputs {
  readonly #graph: Graph;
  readonly #types: LayerTypes;
  readonly #prefix: string;
  readonly #shape: WeightsShape;
  readonly #config: LayerShape['config'];
  readonly #maps: SeamMaps;
  readonly #values = new Map<string, Value>();
  readonly #packed = new Map<Linear, PackedInt4>();
  readonly #sides = new Map<string, SideTransform>();
  readonly #made: MadeMaps;

  /**
   * @param prefix put before every input name, where several layers share a graph.
   * @param made maps that the graph makes itself, instead of taking them as inputs.
   */
  constructor(graph: Graph, shape: WeightsShape, types: LayerTypes, prefix = '', made: MadeMaps = {}) {
    this.#graph = graph;
    this.#types = types;
    this.#prefix = prefix;
    this.#shape = shape;
    this.#config = shape.config;
    this.#maps = shape.maps;
    this.#made = made;
  }

  /** The map at a seam, for this graph. Layers that share a graph share the maps of their network. */
  map(seam: SeamName): SideTransform {
    const map = this.#maps[seam];
    if (!map) return IDENTITY;
    if (map.kind === 'hadamard') return map;
    if (map.kind === 'across-heads') return { ...map, inner: IDENTITY };
    const place = seamOf(seam, this.#config);
    if (map.kind === 'diagonal' && !place.merged.includes(map.kind))
      throw new Error(`no diagonal map can stand at the seam ${seam} of this model`);
    const given = this.#made[seam] ?? this.#once(seam, () => this.#graph.input(seam, mapDims(map, place)));
    if (map.kind === 'kronecker') return kroneckerOf(given, place.width);
    return map.kind === 'diagonal' ? { kind: map.kind, gain: given } : { kind: map.kind, matrix: given };
  }

  /**
   * The map at a seam of heads as query heads and the readers of what they give see it: the channels of a key/value head
   * stand once for each query head of its group. Elsewhere it is the map itself.
   */
  readMap(seam: SeamName): SideTransform {
    const map = this.map(seam);
    const { heads, kvHeads, headDim } = this.#config;
    if (!seamOf(seam, this.#config).perHead || map.kind !== 'diagonal' || heads === kvHeads) return map;
    const gain = reshape(map.gain, [kvHeads, 1, headDim]);
    const repeated = expand(gain, [kvHeads, heads / kvHeads, headDim]);
    return { kind: 'diagonal', gain: reshape(repeated, [heads * headDim]) };
  }

  /** The map of a seam as it acts on the tensor of a site. */
  mapAt(site: Site, seam: SeamName): SideTransform {
    if (site === 'query') return inverseTransposed(this.readMap(seam));
    return site === 'o-input' ? this.readMap(seam) : this.map(seam);
  }

  /** Values of the maps that are given at run time and have been asked for, by seam. */
  get givenMaps(): Partial<Record<SeamName, Value>> {
    return partialOf(SEAM_NAMES, (seam) => this.#values.get(seam));
  }

  /** A side that several weights share, made once. */
  side(key: string, create: () => SideTransform): SideTransform {
    const known = this.#sides.get(key) ?? create();
    this.#sides.set(key, known);
    return known;
  }

  get inputNorm(): Value {
    return this.#required('inputNorm');
  }

  get postNorm(): Value {
    return this.#required('postNorm');
  }

  weight(linear: Linear): Value {
    return this.#required(linear);
  }

  /** Ŵ: the shape of the weight in the graph's real type. */
  prepared(linear: Linear): Value {
    const { dims } = this.#typeOf(linear);
    const name = preparedName(linear);
    return this.#once(name, () => {
      const given = (dtype?: DType): Value => this.#graph.input(this.#prefix + name, dims, dtype);
      const scale = (): Value => this.#graph.input(this.#prefix + scaleName(linear), dims.slice(0, 1));
      if (hasCodesBeside(linear, this.#shape)) return rowMultiples(given('int8'), scale());
      if (!isCodes(linear, this.#shape)) return given();
      return scaledRows({ codes: given('bfloat16'), scale: scale() });
    });
  }

  /** A weight with 4 bits per number; null where products with it are not of whole numbers. */
  packed(linear: Linear): PackedInt4 | null {
    if (!isPacked(linear, this.#shape)) return null;
    const known = this.#packed.get(linear);
    if (known) return known;
    const { dims } = this.#typeOf(linear);
    const made = packedInputs(this.#graph, linear, dims, this.#shape.quantizers, this.#prefix);
    this.#packed.set(linear, made);
    return made;
  }

  bias(linear: Linear): Value | null {
    return this.optional(`${linear}Bias`);
  }

  optional(name: string): Value | null {
    return this.#types[name] ? this.#required(name) : null;
  }

  #typeOf(name: string): LayerTypes[string] {
    const type = this.#types[name];
    if (!type) throw new Error(`the layer has no ${name}`);
    return type;
  }

  #required(name: string): Value {
    const type = this.#typeOf(name);
    return this.#once(name, () => this.#graph.input(this.#prefix + name, type.dims, type.dtype));
  }

  #once(name: string, create: () => Value): Value {
    const known = this.#values.get(name) ?? create();
    this.#values.set(name, known);
    return known;
  }
}

/** Element type and shape of every tensor of a layer, by name. */
export type LayerTypes = Readonly<
  Record<string, { readonly dtype: DType; readonly dims: readonly number[] }>
>;

/** The tensors of a layer that exist, by graph input name. */
export function layerTensors(weights: LayerWeights): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(weights).filter(
      (entry): entry is [string, Tensor] => entry[1] !== null && entry[1] !== undefined,
    ),
  );
}

/** Types of a layer's graph inputs, as the runtime takes them; layers with equal types share one compiled graph. */
export function typesOf(tensors: Readonly<Record<string, Tensor>>, runtime: Runtime): LayerTypes {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, dims }]) => [
      name,
      { dtype: runtime.inputType(dtype), dims },
    ]),
  );
}
