import {
  allocate,
  type DType,
  elementCount,
  type HostTensor,
  type TensorData,
} from '../../protocol/tensor.ts';

/** A value has an element type and a static shape. All our graphs have static shapes. */
export interface TensorType {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/** An ONNX attribute. A plain number is an INT; floats are wrapped so that 1.0 does not become an INT. */
export type Attribute = number | readonly number[] | string | { readonly float: number };
export type Attributes = Readonly<Record<string, Attribute>>;

/** An operator has shape inference and a derivative; our own operators also have a twin made of standard ones. */
export interface OpDefinition {
  readonly name: string;
  /** '' is ONNX itself, 'spinquant' is ours. */
  readonly domain: '' | 'spinquant';
  infer(inputs: readonly Value[], attributes: Attributes): readonly TensorType[];
  /**
   * Emits the vector-Jacobian product as further nodes.
   * @param gradients ∂loss/∂output per output, null where the output does not reach the loss.
   * @returns ∂loss/∂input per input; null where the input has no derivative.
   */
  gradient?(node: Node, gradients: readonly (Value | null)[], wanted: readonly boolean[]): (Value | null)[];
  /** The same function in standard ONNX operators. */
  compose?(inputs: readonly Value[], attributes: Attributes): Value[];
  /** True for helpers that have no kernel and are always composed. */
  readonly composedOnly?: boolean;
}

export interface Node {
  readonly op: OpDefinition;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  readonly outputs: readonly Value[];
  /** True for what was made while derivatives were: it may be less exact than the function itself. */
  readonly isDerivative: boolean;
}

/** One tensor of a graph: an input, a constant, or an output of a node. */
export class Value {
  readonly graph: Graph;
  readonly id: number;
  readonly dtype: DType;
  readonly dims: readonly number[];
  /** Set for graph inputs. */
  readonly inputName: string | null;
  /** Set for constants. */
  readonly constant: HostTensor | null;
  /** Set for outputs of nodes. */
  readonly node: Node | null;

  constructor(
    graph: Graph,
    id: number,
    type: TensorType,
    origin: { inputName?: string; constant?: HostTensor; node?: Node },
  ) {
    this.graph = graph;
    this.id = id;
    this.dtype = type.dtype;
    this.dims = type.dims;
    this.inputName = origin.inputName ?? null;
    this.constant = origin.constant ?? null;
    this.node = origin.node ?? null;
  }

  get rank(): number {
    return this.dims.length;
  }

  /** Size of an axis; negative axes count from the end. */
  dim(axis: number): number {
    const size = this.dims[axis < 0 ? axis + this.rank : axis];
    if (size === undefined) throw new Error(`axis ${axis} outside of [${this.dims}]`);
    return size;
  }
}

/** The graph computes in float32 in production, in float64 where tests prove derivatives. */
export type Real = 'float32' | 'float64';

/** A tensor expression under construction. Nodes are kept in creation order, which is a topological order. */
export class Graph {
  readonly real: Real;
  readonly nodes: Node[] = [];
  readonly inputs: Value[] = [];
  #nextId = 0;
  #derives = false;
  readonly #scalars = new Map<string, Value>();

  constructor(real: Real = 'float32') {
    this.real = real;
  }

  input(name: string, dims: readonly number[], dtype: DType = this.real): Value {
    if (this.inputs.some((value) => value.inputName === name))
      throw new Error(`input ${name} exists already`);
    const value = new Value(this, this.#nextId++, { dtype, dims }, { inputName: name });
    this.inputs.push(value);
    return value;
  }

  constant(tensor: HostTensor): Value {
    return new Value(this, this.#nextId++, tensor, { constant: tensor });
  }

  /** Makes a real constant of the graph's type from plain numbers. */
  reals(dims: readonly number[], numbers: ArrayLike<number>): Value {
    const data = allocate(this.real, elementCount(dims)) as Float32Array | Float64Array;
    data.set(numbers);
    return this.constant({ kind: 'host', dtype: this.real, dims, data });
  }

  /** Returns a rank-0 real constant, shared between uses. */
  scalar(number: number, dtype: DType = this.real): Value {
    const key = `${dtype} ${number}`;
    const known = this.#scalars.get(key);
    if (known) return known;
    const data: TensorData = allocate(dtype, 1);
    if (data instanceof BigInt64Array) data[0] = BigInt(number);
    else data[0] = number;
    const value = this.constant({ kind: 'host', dtype, dims: [], data });
    this.#scalars.set(key, value);
    return value;
  }

  ints(numbers: readonly number[]): Value {
    const data = BigInt64Array.from(numbers, (number) => BigInt(number));
    return this.constant({ kind: 'host', dtype: 'int64', dims: [numbers.length], data });
  }

  /** Marks the nodes that `work` makes as derivatives, or as none. */
  deriving<T>(isDerivative: boolean, work: () => T): T {
    const before = this.#derives;
    this.#derives = isDerivative;
    try {
      return work();
    } finally {
      this.#derives = before;
    }
  }

  apply(op: OpDefinition, inputs: readonly Value[], attributes: Attributes = {}): Value[] {
    for (const input of inputs) {
      if (input.graph !== this) throw new Error(`${op.name}: an input belongs to another graph`);
    }
    const outputs: Value[] = [];
    const node: Node = { op, inputs, attributes, outputs, isDerivative: this.#derives };
    for (const type of op.infer(inputs, attributes)) {
      outputs.push(new Value(this, this.#nextId++, type, { node }));
    }
    this.nodes.push(node);
    return outputs;
  }
}

/** Applies an operator with a single output. */
export function apply(op: OpDefinition, inputs: readonly Value[], attributes: Attributes = {}): Value {
  return inputs[0]!.graph.apply(op, inputs, attributes)[0]!;
}

/** Integer attribute, or a default. */
export function intAttribute(attributes: Attributes, name: string, otherwise?: number): number {
  const value = attributes[name] ?? otherwise;
  if (typeof value !== 'number') throw new Error(`attribute ${name} must be an integer`);
  return value;
}

export function floatAttribute(attributes: Attributes, name: string): number {
  const value = attributes[name];
  if (typeof value !== 'object' || !('float' in value)) throw new Error(`attribute ${name} must be a float`);
  return value.float;
}

export function intsAttribute(attributes: Attributes, name: string): readonly number[] {
  const value = attributes[name];
  if (!Array.isArray(value)) throw new Error(`attribute ${name} must be a list of integers`);
  return value as readonly number[];
}
