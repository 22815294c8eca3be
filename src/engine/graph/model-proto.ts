import protobuf from 'protobufjs/minimal.js';
import type { DType, HostTensor } from '../../protocol/tensor.ts';
import { ONNX_ELEMENT_TYPE } from '../runtime/element-types.ts';
import type { Attribute, Attributes } from './graph.ts';

const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** Values are known by their names; an empty name is an optional input that is not there. */
export interface ProtoNode {
  readonly name?: string;
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

/** Where the bytes of a tensor lie: in a file beside the model. */
export interface StoredBytes {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

export interface ProtoTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: HostTensor['data'] | StoredBytes;
}

/** An input or an output. A dimension that is known at run time only has a name. */
export interface ProtoValue {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly (number | string)[];
}

export interface ProtoModel {
  readonly irVersion: number;
  /** Versions of operator sets by domain; '' is that of ONNX itself. */
  readonly opsets: Readonly<Record<string, number>>;
  /** In topological order. */
  readonly nodes: readonly ProtoNode[];
  readonly initializers: readonly ProtoTensor[];
  readonly inputs: readonly ProtoValue[];
  readonly outputs: readonly ProtoValue[];
}

/** The field numbers below are those of onnx.proto3. */
type Message = (writer: protobuf.Writer) => void;

const varint = (field: number) => (field << 3) | 0;
const bytes = (field: number) => (field << 3) | 2;

function nested(writer: protobuf.Writer, field: number, message: Message): void {
  writer.uint32(bytes(field)).fork();
  message(writer);
  writer.ldelim();
}

function text(writer: protobuf.Writer, field: number, value: string): void {
  writer.uint32(bytes(field)).string(value);
}

function integer(writer: protobuf.Writer, field: number, value: number): void {
  writer.uint32(varint(field)).int64(value);
}

function attribute(name: string, value: Attribute): Message {
  return (w) => {
    text(w, 1, name);
    if (typeof value === 'number') {
      integer(w, 3, value);
      integer(w, 20, ATTRIBUTE_TYPE.int);
    } else if (typeof value === 'string') {
      text(w, 4, value);
      integer(w, 20, ATTRIBUTE_TYPE.string);
    } else if ('float' in value) {
      w.uint32((2 << 3) | 5).float(value.float);
      integer(w, 20, ATTRIBUTE_TYPE.float);
    } else {
      for (const item of value) integer(w, 8, item);
      integer(w, 20, ATTRIBUTE_TYPE.ints);
    }
  };
}

function nodeMessage({ name, op, domain, inputs, outputs, attributes }: ProtoNode): Message {
  return (w) => {
    for (const input of inputs) text(w, 1, input);
    for (const output of outputs) text(w, 2, output);
    if (name !== undefined) text(w, 3, name);
    text(w, 4, op);
    for (const [key, value] of Object.entries(attributes)) nested(w, 5, attribute(key, value));
    text(w, 7, domain);
  };
}

const EXTERNAL = 1;

function initializer({ name, dtype, dims, data }: ProtoTensor): Message {
  return (w) => {
    for (const dim of dims) integer(w, 1, dim);
    integer(w, 2, ONNX_ELEMENT_TYPE[dtype]);
    text(w, 8, name);
    if ('file' in data) {
      const { file: location, offset, length } = data;
      for (const [key, value] of Object.entries({ location, offset, length }))
        nested(w, 13, (entry) => {
          text(entry, 1, key);
          text(entry, 2, String(value));
        });
      integer(w, 14, EXTERNAL);
    } else w.uint32(bytes(9)).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  };
}

function valueInfo({ name, dtype, dims }: ProtoValue): Message {
  return (w) => {
    text(w, 1, name);
    nested(w, 2, (type) =>
      nested(type, 1, (tensor) => {
        integer(tensor, 1, ONNX_ELEMENT_TYPE[dtype]);
        nested(tensor, 2, (shape) => {
          for (const dim of dims)
            nested(shape, 1, (d) => (typeof dim === 'number' ? integer(d, 1, dim) : text(d, 2, dim)));
        });
      }),
    );
  };
}

function opset(domain: string, version: number): Message {
  return (w) => {
    text(w, 1, domain);
    integer(w, 2, version);
  };
}

/** Serialises a model as an ONNX ModelProto. */
export function encodeProto(model: ProtoModel): Uint8Array {
  const writer = protobuf.Writer.create();
  integer(writer, 1, model.irVersion);
  text(writer, 2, 'spinquant-lab');
  nested(writer, 7, (w) => {
    for (const node of model.nodes) nested(w, 1, nodeMessage(node));
    text(w, 2, 'graph');
    for (const tensor of model.initializers) nested(w, 5, initializer(tensor));
    for (const value of model.inputs) nested(w, 11, valueInfo(value));
    for (const value of model.outputs) nested(w, 12, valueInfo(value));
  });
  for (const [domain, version] of Object.entries(model.opsets)) nested(writer, 8, opset(domain, version));
  return writer.finish();
}
