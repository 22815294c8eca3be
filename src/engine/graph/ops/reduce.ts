import { type Attributes, apply, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import { add, exp, log, mul, scale, sub } from './elementwise.ts';
import { expand, reshape } from './shape.ts';

function reduction(name: string, gradient?: OpDefinition['gradient']): OpDefinition {
  return {
    name,
    domain: '',
    infer(inputs, attributes: Attributes) {
      const x = inputs[0]!;
      const axes = Array.from(inputs[1]!.constant!.data, Number);
      const keep = intAttribute(attributes, 'keepdims') === 1;
      const dims = keep
        ? x.dims.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
        : x.dims.filter((_, axis) => !axes.includes(axis));
      return [{ dtype: x.dtype, dims }];
    },
    ...(gradient && { gradient }),
  };
}

function spread(dy: Value, x: Value, axesInput: Value): Value {
  const axes = Array.from(axesInput.constant!.data, Number);
  const kept = x.dims.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  return expand(reshape(dy, kept), x.dims);
}

const ReduceSum = reduction('ReduceSum', (node, [dy]) => [
  spread(dy!, node.inputs[0]!, node.inputs[1]!),
  null,
]);
const ReduceMax = reduction('ReduceMax');
const ReduceMin = reduction('ReduceMin');

function reduce(op: OpDefinition, x: Value, axes: readonly number[], keepDims: boolean): Value {
  const positive = axes.map((axis) => (axis < 0 ? axis + x.rank : axis));
  return apply(op, [x, x.graph.ints(positive)], { keepdims: keepDims ? 1 : 0 });
}

export function reduceSum(x: Value, axes: readonly number[], keepDims = true): Value {
  return reduce(ReduceSum, x, axes, keepDims);
}

export function reduceMean(x: Value, axes: readonly number[], keepDims = true): Value {
  const count = axes.reduce((product, axis) => product * x.dim(axis), 1);
  return scale(reduceSum(x, axes, keepDims), 1 / count);
}

/** Maximum along axes. It has no derivative: quantizer ranges are detached (straight-through). */
export function reduceMax(x: Value, axes: readonly number[]): Value {
  return reduce(ReduceMax, x, axes, true);
}

export function reduceMin(x: Value, axes: readonly number[]): Value {
  return reduce(ReduceMin, x, axes, true);
}

const TopK: OpDefinition = {
  name: 'TopK',
  domain: '',
  infer(inputs) {
    const [x, count] = inputs as [Value, Value];
    const dims = [...x.dims.slice(0, -1), Number(count.constant!.data[0])];
    return [
      { dtype: x.dtype, dims },
      { dtype: 'int64', dims },
    ];
  },
};

/** The k-th largest number along the last axis, which stays with size 1. It has no derivative. */
export function kthLargest(x: Value, k: number): Value {
  const [largest] = x.graph.apply(TopK, [x, x.graph.ints([k])], { axis: -1, largest: 1, sorted: 0 });
  return reduceMin(largest!, [-1]);
}

/** Sums a gradient over the axes that broadcasting repeated, back to the operand's shape. */
export function sumTo(gradient: Value, dims: readonly number[]): Value {
  const extra = gradient.rank - dims.length;
  const axes = gradient.dims.flatMap((dim, axis) =>
    axis < extra || (dims[axis - extra] === 1 && dim !== 1) ? [axis] : [],
  );
  return axes.length === 0 ? gradient : reshape(reduceSum(gradient, axes), dims);
}

const Softmax: OpDefinition = {
  name: 'Softmax',
  domain: '',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  gradient(node, [dy]) {
    const y = node.outputs[0]!;
    return [mul(y, sub(dy!, reduceSum(mul(dy!, y), [-1])))];
  },
};

/** Softmax over the last axis. */
export function softmax(x: Value): Value {
  return apply(Softmax, [x], { axis: -1 });
}

/** Computes log Σ exp over the last axis, which stays with size 1; values are shifted by the maximum. */
export function logSumExp(x: Value): Value {
  const top = reduceMax(x, [-1]);
  return add(log(reduceSum(exp(sub(x, top)), [-1])), top);
}
