import type { DType, Tensor } from '../../protocol/tensor.ts';
import { scaledRows } from '../graph/fused/gemm-bfloat16.ts';
import type { Graph, Value } from '../graph/graph.ts';
import type { LayerWeights } from '../model/checkpoint.ts';
import type { Runtime } from '../runtime/types.ts';
import type { LayerShape } from './layer-shape.ts';

/** The seven matrices of a block. */
export const LINEAR_ROLES = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const;
export type LinearRole = (typeof LINEAR_ROLES)[number];
export type BiasRole = LinearRole;

const BIAS_NAME = {
  q: 'qBias',
  k: 'kBias',
  v: 'vBias',
  o: 'oBias',
  gate: 'gateBias',
  up: 'upBias',
  down: 'downBias',
} as const satisfies Record<LinearRole, string>;

/** Input name of a rotated and rounded weight. */
export const preparedName = (role: LinearRole): string => `${role}.prepared`;

/** Input name of the scales [out] of a weight that is prepared as codes. */
export const scaleName = (role: LinearRole): string => `${role}.scale`;

/** Graph inputs of one layer, created where the mode of the network asks for them. */
export class LayerInputs {
  readonly r1: Value | null;
  readonly r2: Value | null;
  readonly #graph: Graph;
  readonly #types: LayerTypes;
  readonly #prefix: string;
  readonly #weightCodes: boolean;
  readonly #values = new Map<string, Value>();

  /** @param prefix put before every input name, where several layers share a graph. */
  constructor(graph: Graph, shape: LayerShape, types: LayerTypes, prefix = '') {
    this.#graph = graph;
    this.#types = types;
    this.#prefix = prefix;
    this.#weightCodes = shape.weightCodes ?? false;
    const { hiddenSize, headDim } = shape.config;
    this.r1 = shape.rotations.r1 ? graph.input('r1', [hiddenSize, hiddenSize]) : null;
    this.r2 = shape.rotations.r2 ? graph.input('r2', [headDim, headDim]) : null;
  }

  get inputNorm(): Value {
    return this.#required('inputNorm');
  }

  get postNorm(): Value {
    return this.#required('postNorm');
  }

  weight(role: LinearRole): Value {
    return this.#required(role);
  }

  /** Ŵ: the shape of the weight in the graph's real type. */
  prepared(role: LinearRole): Value {
    const { dims } = this.#types[role]!;
    const name = preparedName(role);
    return this.#once(name, () => {
      if (!this.#weightCodes) return this.#graph.input(this.#prefix + name, dims);
      const codes = this.#graph.input(this.#prefix + name, dims, 'bfloat16');
      return scaledRows({ codes, scale: this.#graph.input(this.#prefix + scaleName(role), [dims[0]!]) });
    });
  }

  bias(role: BiasRole): Value | null {
    return this.optional(BIAS_NAME[role]);
  }

  optional(name: string): Value | null {
    return this.#types[name] ? this.#required(name) : null;
  }

  #required(name: string): Value {
    const type = this.#types[name];
    if (!type) throw new Error(`the layer has no ${name}`);
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
