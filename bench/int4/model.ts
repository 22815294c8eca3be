/** Writes ONNX models whose weights are initializers: the sum of products of one input with several weights. */
import protobuf from 'protobufjs/minimal.js';

/** Element types of onnx.proto3. */
const TYPE = { float32: 1, uint8: 2, int8: 3 } as const;

export interface Weight {
  readonly dims: readonly number[];
  readonly data: Float32Array | Uint8Array | Int8Array;
}

/** Nodes `y0`, `y1`, … = op(x, the weights of that node), and `y`, their sum: one result leaves a call, as of a network. */
export interface Products {
  readonly op: string;
  readonly domain: '' | 'spinquant' | 'com.microsoft';
  /** Whole numbers become ints, wrapped ones floats. */
  readonly attributes: Readonly<Record<string, number | { readonly float: number }>>;
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly weights: readonly (readonly Weight[])[];
}

type Writer = protobuf.Writer;

const nested = (writer: Writer, field: number, body: (inner: Writer) => void): void => {
  writer.uint32((field << 3) | 2).fork();
  body(writer);
  writer.ldelim();
};
const text = (writer: Writer, field: number, value: string): Writer =>
  writer.uint32((field << 3) | 2).string(value);
const integer = (writer: Writer, field: number, value: number): Writer =>
  writer.uint32(field << 3).int64(value);

function attribute(writer: Writer, name: string, value: number | { readonly float: number }): void {
  nested(writer, 5, (w) => {
    text(w, 1, name);
    if (typeof value === 'number') integer(integer(w, 3, value), 20, 2);
    else integer(w.uint32((2 << 3) | 5).float(value.float), 20, 1);
  });
}

function initializer(writer: Writer, name: string, { dims, data }: Weight): void {
  const type =
    data instanceof Float32Array ? TYPE.float32 : data instanceof Int8Array ? TYPE.int8 : TYPE.uint8;
  nested(writer, 5, (w) => {
    for (const dim of dims) integer(w, 1, dim);
    text(integer(w, 2, type), 8, name);
    w.uint32((9 << 3) | 2).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  });
}

function valueInfo(writer: Writer, field: number, name: string, dims: readonly number[]): void {
  nested(writer, field, (w) => {
    text(w, 1, name);
    nested(w, 2, (type) =>
      nested(type, 1, (tensor) => {
        integer(tensor, 1, TYPE.float32);
        nested(tensor, 2, (shape) => {
          for (const dim of dims) nested(shape, 1, (d) => integer(d, 1, dim));
        });
      }),
    );
  });
}

/** @returns the bytes of the model. */
export function productsModel({ op, domain, attributes, x, y, weights }: Products): Uint8Array {
  const writer = protobuf.Writer.create();
  integer(writer, 1, 9);
  nested(writer, 7, (graph) => {
    weights.forEach((inputs, i) => {
      nested(graph, 1, (node) => {
        text(node, 1, 'x');
        for (const j of inputs.keys()) text(node, 1, `w${i}.${j}`);
        text(text(node, 2, `y${i}`), 4, op);
        for (const [name, value] of Object.entries(attributes)) attribute(node, name, value);
        text(node, 7, domain);
      });
    });
    nested(graph, 1, (node) => {
      for (const i of weights.keys()) text(node, 1, `y${i}`);
      text(text(node, 2, 'y'), 4, 'Sum');
    });
    text(graph, 2, 'products');
    weights.forEach((inputs, i) => {
      for (const [j, weight] of inputs.entries()) initializer(graph, `w${i}.${j}`, weight);
    });
    valueInfo(graph, 11, 'x', x);
    valueInfo(graph, 12, 'y', y);
  });
  for (const [name, version] of [
    ['', 18],
    ['spinquant', 1],
    ['com.microsoft', 1],
  ] as const)
    nested(writer, 8, (w) => integer(text(w, 1, name), 2, version));
  return writer.finish();
}
