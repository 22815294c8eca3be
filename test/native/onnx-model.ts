/** Writes tiny ONNX models: just enough of the protobuf format for one chain of nodes with static shapes. */

import { ONNX_ELEMENT_TYPE } from '../../src/engine/runtime/element-types.ts';
import type { DType } from '../../src/protocol/tensor.ts';

export interface ValueSpec {
  readonly name: string;
  readonly dtype?: DType;
  readonly dims: readonly number[];
}

export interface NodeSpec {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Whole numbers become ints, unless listed in `floats`. */
  readonly attributes?: Readonly<Record<string, number>>;
  readonly floats?: readonly string[];
}

type Field = Uint8Array;

function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return bytes;
}

function number(field: number, value: number | bigint): Field {
  return Uint8Array.from([...varint(field << 3), ...varint(value)]);
}

function bytes(field: number, value: Uint8Array): Field {
  return Buffer.concat([Uint8Array.from([...varint((field << 3) | 2), ...varint(value.length)]), value]);
}

const text = (field: number, value: string): Field => bytes(field, Buffer.from(value));
const message = (field: number, ...fields: Field[]): Field => bytes(field, Buffer.concat(fields));

function float(field: number, value: number): Field {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([Uint8Array.from(varint((field << 3) | 5)), data]);
}

function valueInfo(field: number, value: ValueSpec): Field {
  const dims = value.dims.map((dim) => message(1, number(1, dim)));
  const tensorType = message(1, number(1, ONNX_ELEMENT_TYPE[value.dtype ?? 'float32']), message(2, ...dims));
  return message(field, text(1, value.name), message(2, tensorType));
}

function attribute(name: string, value: number, isFloat: boolean): Field {
  const FLOAT = 1;
  const INT = 2;
  return isFloat
    ? message(5, text(1, name), float(2, value), number(20, FLOAT))
    : message(5, text(1, name), number(3, value), number(20, INT));
}

function node(spec: NodeSpec): Field {
  const attributes = Object.entries(spec.attributes ?? {});
  return message(
    1,
    ...spec.inputs.map((name) => text(1, name)),
    ...spec.outputs.map((name) => text(2, name)),
    text(4, spec.op),
    ...attributes.map(([name, value]) => attribute(name, value, spec.floats?.includes(name) ?? false)),
    text(7, spec.domain ?? ''),
  );
}

/**
 * Writes the bytes of a model with opset 17 of ONNX and 1 of our own domain.
 * @param between gives shapes of values between nodes, which ONNX Runtime cannot infer behind our operators.
 */
export function onnxModel(
  nodes: readonly NodeSpec[],
  inputs: readonly ValueSpec[],
  outputs: readonly ValueSpec[],
  between: readonly ValueSpec[] = [],
): Uint8Array {
  const IR_VERSION = 8;
  const graph = message(
    7,
    ...nodes.map(node),
    text(2, 'test'),
    ...inputs.map((value) => valueInfo(11, value)),
    ...outputs.map((value) => valueInfo(12, value)),
    ...between.map((value) => valueInfo(13, value)),
  );
  const opsets = [message(8, text(1, ''), number(2, 17)), message(8, text(1, 'spinquant'), number(2, 1))];
  return Buffer.concat([number(1, IR_VERSION), graph, ...opsets]);
}
