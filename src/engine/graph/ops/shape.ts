import { type DType, elementCount } from '../../../protocol/tensor.ts';
import { ONNX_ELEMENT_TYPE } from '../../runtime/element-types.ts';
import {
  type Attributes,
  apply,
  intAttribute,
  intsAttribute,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import { sumTo } from './reduce.ts';

const Reshape: OpDefinition = {
  name: 'Reshape',
  domain: '',
  infer(inputs) {
    const [x, shape] = inputs as [Value, Value];
    const dims = Array.from(shape.constant!.data, Number);
    if (elementCount(dims) !== elementCount(x.dims)) throw new Error(`Reshape: [${x.dims}] to [${dims}]`);
    return [{ dtype: x.dtype, dims }];
  },
  gradient: (node, [dy]) => [reshape(dy!, node.inputs[0]!.dims), null],
};

/** The same elements in another shape. Of shapes one after the other, only the last is made. */
export function reshape(x: Value, dims: readonly number[]): Value {
  const { node } = x;
  if (node?.op === Reshape) return reshape(node.inputs[0]!, dims);
  if (dims.length === x.rank && dims.every((dim, axis) => dim === x.dims[axis])) return x;
  return apply(Reshape, [x, x.graph.ints(dims)]);
}

const Transpose: OpDefinition = {
  name: 'Transpose',
  domain: '',
  infer(inputs, attributes) {
    const x = inputs[0]!;
    return [{ dtype: x.dtype, dims: intsAttribute(attributes, 'perm').map((axis) => x.dim(axis)) }];
  },
  gradient(node, [dy]) {
    const perm = intsAttribute(node.attributes, 'perm');
    const inverse = perm.map((_, axis) => perm.indexOf(axis));
    return [transpose(dy!, inverse)];
  },
};

/** Output axis i is input axis perm[i]. */
export function transpose(x: Value, perm: readonly number[]): Value {
  return apply(Transpose, [x], { perm });
}

/** Swaps the last two axes. */
export function transposeLast(x: Value): Value {
  const perm = x.dims.map((_, axis) => axis);
  perm.splice(-2, 2, x.rank - 1, x.rank - 2);
  return transpose(x, perm);
}

const Concat: OpDefinition = {
  name: 'Concat',
  domain: '',
  infer(inputs, attributes) {
    const axis = intAttribute(attributes, 'axis');
    const dims = [...inputs[0]!.dims];
    dims[axis] = inputs.reduce((sum, input) => sum + input.dim(axis), 0);
    return [{ dtype: inputs[0]!.dtype, dims }];
  },
  gradient(node, [dy]) {
    const axis = intAttribute(node.attributes, 'axis');
    let start = 0;
    return node.inputs.map((input) => {
      const part = slice(dy!, axis, start, start + input.dim(axis));
      start += input.dim(axis);
      return part;
    });
  },
};

/** Joins along an axis (not negative). */
export function concat(inputs: readonly Value[], axis: number): Value {
  return apply(Concat, inputs, { axis });
}

const Slice: OpDefinition = {
  name: 'Slice',
  domain: '',
  infer(inputs) {
    const [x, starts, ends, axes] = inputs as [Value, Value, Value, Value];
    const axis = Number(axes.constant!.data[0]);
    const dims = [...x.dims];
    dims[axis] = Number(ends.constant!.data[0]) - Number(starts.constant!.data[0]);
    return [{ dtype: x.dtype, dims }];
  },
  gradient(node, [dy]) {
    const [x, starts, ends, axes] = node.inputs as [Value, Value, Value, Value];
    const axis = Number(axes.constant!.data[0]);
    const pads = new Array<number>(2 * x.rank).fill(0);
    pads[axis] = Number(starts.constant!.data[0]);
    pads[x.rank + axis] = x.dim(axis) - Number(ends.constant!.data[0]);
    return [apply(Pad, [dy!, x.graph.ints(pads)]), null, null, null];
  },
};

/** Takes elements start … end−1 of one axis. */
export function slice(x: Value, axis: number, start: number, end: number): Value {
  if (start === 0 && end === x.dim(axis)) return x;
  const g = x.graph;
  return apply(Slice, [x, g.ints([start]), g.ints([end]), g.ints([axis])]);
}

/** Pads with zeros; the constant input pads holds all begins, then all ends. */
const Pad: OpDefinition = {
  name: 'Pad',
  domain: '',
  infer(inputs) {
    const [x, pads] = inputs as [Value, Value];
    const counts = Array.from(pads.constant!.data, Number);
    return [
      { dtype: x.dtype, dims: x.dims.map((dim, axis) => dim + counts[axis]! + counts[x.rank + axis]!) },
    ];
  },
};

/** Appends zeros along an axis up to a size. */
export function padEnd(x: Value, axis: number, size: number): Value {
  if (x.dim(axis) === size) return x;
  const pads = new Array<number>(2 * x.rank).fill(0).with(x.rank + axis, size - x.dim(axis));
  return apply(Pad, [x, x.graph.ints(pads)]);
}

const Expand: OpDefinition = {
  name: 'Expand',
  domain: '',
  infer(inputs) {
    const [x, shape] = inputs as [Value, Value];
    return [{ dtype: x.dtype, dims: Array.from(shape.constant!.data, Number) }];
  },
  gradient: (node, [dy]) => [sumTo(dy!, node.inputs[0]!.dims), null],
};

/** Repeats axes of size 1 to the given shape. */
export function expand(x: Value, dims: readonly number[]): Value {
  return apply(Expand, [x, x.graph.ints(dims)]);
}

const Gather: OpDefinition = {
  name: 'Gather',
  domain: '',
  infer(inputs) {
    const [table, indices] = inputs as [Value, Value];
    return [{ dtype: table.dtype, dims: [...indices.dims, ...table.dims.slice(1)] }];
  },
  // Rows may repeat, so the derivative adds: ∂table = onehot(indices)ᵀ · dy.
  gradient(node, [dy]) {
    const [table, indices] = node.inputs as [Value, Value];
    const zeros = expand(
      reshape(
        table.graph.scalar(0),
        table.dims.map(() => 1),
      ),
      table.dims,
    );
    return [
      apply(ScatterRows, [zeros, reshape(indices, [...indices.dims, 1]), dy!], { reduction: 'add' }),
      null,
    ];
  },
};

const ScatterRows: OpDefinition = {
  name: 'ScatterND',
  domain: '',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
};

/** Picks rows of a table [V, …] by int64 indices. */
export function gatherRows(table: Value, indices: Value): Value {
  return apply(Gather, [table, indices], { axis: 0 });
}

const Cast: OpDefinition = {
  name: 'Cast',
  domain: '',
  infer(inputs, attributes: Attributes) {
    const to = intAttribute(attributes, 'to');
    const dtype = (Object.keys(ONNX_ELEMENT_TYPE) as DType[]).find((name) => ONNX_ELEMENT_TYPE[name] === to)!;
    return [{ dtype, dims: inputs[0]!.dims }];
  },
  gradient(node, [dy]) {
    const from = node.inputs[0]!.dtype;
    return [from === 'float32' || from === 'float64' ? cast(dy!, from) : null];
  },
};

/** Converts the element type; does nothing where it is already right. */
export function cast(x: Value, dtype: DType): Value {
  return x.dtype === dtype ? x : apply(Cast, [x], { to: ONNX_ELEMENT_TYPE[dtype] });
}

/** Converts to the graph's real type (weights come as float16, bfloat16 or float32). */
export function toReal(x: Value): Value {
  return cast(x, x.graph.real);
}
