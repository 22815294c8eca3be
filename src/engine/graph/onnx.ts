import protobuf from 'protobufjs/minimal.js';
import type { HostTensor } from '../../protocol/tensor.ts';
import { ONNX_ELEMENT_TYPE } from '../runtime/element-types.ts';
import type { Attribute, Graph, Node, Value } from './graph.ts';

const IR_VERSION = 9;
const OPSET = 18;
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;

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

function nodeMessage(node: Node, nameOf: (value: Value) => string): Message {
  return (w) => {
    for (const input of node.inputs) text(w, 1, nameOf(input));
    for (const output of node.outputs) text(w, 2, nameOf(output));
    text(w, 4, node.op.name);
    for (const [name, value] of Object.entries(node.attributes)) nested(w, 5, attribute(name, value));
    text(w, 7, node.op.domain);
  };
}

function initializer(name: string, tensor: HostTensor): Message {
  return (w) => {
    for (const dim of tensor.dims) integer(w, 1, dim);
    integer(w, 2, ONNX_ELEMENT_TYPE[tensor.dtype]);
    text(w, 8, name);
    const { buffer, byteOffset, byteLength } = tensor.data;
    w.uint32(bytes(9)).bytes(new Uint8Array(buffer, byteOffset, byteLength));
  };
}

function valueInfo(name: string, value: Value): Message {
  return (w) => {
    text(w, 1, name);
    nested(w, 2, (type) =>
      nested(type, 1, (tensor) => {
        integer(tensor, 1, ONNX_ELEMENT_TYPE[value.dtype]);
        nested(tensor, 2, (shape) => {
          for (const dim of value.dims) nested(shape, 1, (d) => integer(d, 1, dim));
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

/**
 * Serialises a graph as an ONNX ModelProto. Every node is written: prune first (rebuild.ts).
 * @param outputs distinct values by output name.
 */
export function encodeModel(graph: Graph, outputs: Readonly<Record<string, Value>>): Uint8Array {
  const names = new Map(Object.entries(outputs).map(([name, value]) => [value, name]));
  const nameOf = (value: Value): string => value.inputName ?? names.get(value) ?? `v${value.id}`;
  const constants = new Set(graph.nodes.flatMap((node) => node.inputs.filter((input) => input.constant)));
  const writer = protobuf.Writer.create();
  integer(writer, 1, IR_VERSION);
  text(writer, 2, 'spinquant-lab');
  nested(writer, 7, (w) => {
    for (const node of graph.nodes) nested(w, 1, nodeMessage(node, nameOf));
    text(w, 2, 'graph');
    for (const value of constants) nested(w, 5, initializer(nameOf(value), value.constant!));
    for (const value of graph.inputs) nested(w, 11, valueInfo(nameOf(value), value));
    for (const [name, value] of Object.entries(outputs)) nested(w, 12, valueInfo(name, value));
  });
  nested(writer, 8, opset('', OPSET));
  nested(writer, 8, opset('spinquant', 1));
  return writer.finish();
}
