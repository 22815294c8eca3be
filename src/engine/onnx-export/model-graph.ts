import { bytesOf } from '../../formats/tensor-io.ts';
import {
  BYTES_PER_ELEMENT,
  type DType,
  elementCount,
  float32,
  type HostTensor,
  int64,
} from '../../protocol/tensor.ts';
import type { Attributes } from '../graph/graph.ts';
import {
  encodeProto,
  type ProtoNode,
  type ProtoTensor,
  type ProtoValue,
  type StoredBytes,
} from '../graph/model-proto.ts';
import type { ExternalData } from './external-data.ts';

/** IR and operators that ONNX Runtime reads since 1.14. */
const IR_VERSION = 9;
const OPSETS = { '': 18, 'com.microsoft': 1, spinquant: 1 } as const;

/** Operators of ONNX Runtime, and our own. */
type OperatorDomain = 'com.microsoft' | 'spinquant';

/** Smaller tensors stay in the model: shapes must be seen there. */
const INLINE_BYTES = 1024;

/**
 * Who reads the model: any runtime, or ONNX Runtime in this product for a run, once. The latter may have operators that
 * the ONNX checker does not know, and needs no GPU with numbers of 16 bits.
 */
export type ModelPurpose = 'export' | 'run';

interface NodeOptions {
  readonly attributes?: Attributes;
  /** That of ONNX itself where absent. */
  readonly domain?: OperatorDomain;
  /** Names of further outputs. */
  readonly more?: readonly string[];
}

/**
 * A whole model under construction. Batch, sequence and past are known at run
 * time only, so that values have names here instead of shapes.
 */
export class ModelGraph {
  readonly purpose: ModelPurpose;
  readonly #data: ExternalData;
  readonly #nodes: ProtoNode[] = [];
  readonly #initializers: ProtoTensor[] = [];
  readonly #constants = new Set<string>();

  constructor(data: ExternalData, purpose: ModelPurpose = 'export') {
    this.#data = data;
    this.purpose = purpose;
  }

  /** Adds a node. @returns the name of its first output, which is that of the node. */
  node(name: string, op: string, inputs: readonly string[], options: NodeOptions = {}): string {
    const { attributes = {}, domain = '', more = [] } = options;
    this.#nodes.push({ name, op, domain, inputs, outputs: [name, ...more], attributes });
    return name;
  }

  /** Adds a tensor, large ones to the file beside the model. @returns its name. */
  async tensor(name: string, tensor: HostTensor): Promise<string> {
    const bytes = bytesOf(tensor);
    if (bytes.byteLength >= INLINE_BYTES) return this.stored(name, tensor, await this.append([bytes]));
    this.#initializers.push({ name, ...tensor });
    return name;
  }

  /** Writes the bytes of a tensor that is named later by {@link stored}. */
  append(parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<StoredBytes> {
    return this.#data.append(parts);
  }

  stored(
    name: string,
    type: { readonly dtype: DType; readonly dims: readonly number[] },
    data: StoredBytes,
  ): string {
    this.#initializers.push({ name, dtype: type.dtype, dims: type.dims, data });
    return name;
  }

  /** A list of whole numbers, int64 [n], once in the model. */
  ints(numbers: readonly number[]): string {
    const values = BigInt64Array.from(numbers, BigInt);
    return this.#constant(`int64.${numbers.join('_')}`, int64([numbers.length], values));
  }

  /** A whole number, int64 []. */
  int(number: number): string {
    return this.#constant(`int64.scalar.${number}`, int64([], BigInt64Array.of(BigInt(number))));
  }

  /** A real number, float32 []. */
  real(number: number): string {
    return this.#constant(`float32.${number}`, float32([], Float32Array.of(number)));
  }

  #constant(name: string, { dtype, dims, data }: HostTensor): string {
    if (!this.#constants.has(name)) this.#initializers.push({ name, dtype, dims, data });
    this.#constants.add(name);
    return name;
  }

  /** Bytes of all tensors once they are loaded for a run, which widens those of 16 bits. */
  get loadedBytes(): number {
    return this.#initializers.reduce(
      (sum, { dtype, dims }) =>
        sum + elementCount(dims) * (dtype === 'float16' ? 4 : BYTES_PER_ELEMENT[dtype]),
      0,
    );
  }

  /** How many nodes there are of each operator. */
  get operators(): Readonly<Record<string, number>> {
    const counts = new Map<string, number>();
    for (const { op } of this.#nodes) counts.set(op, (counts.get(op) ?? 0) + 1);
    return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The model with these inputs and outputs, as an ONNX ModelProto. */
  encode(inputs: readonly ProtoValue[], outputs: readonly ProtoValue[]): Uint8Array {
    const used = new Set(this.#nodes.map(({ domain }) => domain));
    return encodeProto({
      irVersion: IR_VERSION,
      opsets: Object.fromEntries(
        Object.entries(OPSETS).filter(([domain]) => domain === '' || used.has(domain)),
      ),
      nodes: this.#nodes,
      initializers: this.#initializers,
      inputs,
      outputs,
    });
  }
}
