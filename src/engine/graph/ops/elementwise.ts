import { apply, type OpDefinition, type TensorType, type Value } from '../graph.ts';
import { sumTo } from './reduce.ts';

/** Broadcasts two shapes as NumPy does. */
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const x = a[axis - rank + a.length] ?? 1;
    const y = b[axis - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new Error(`shapes [${a}] and [${b}] do not broadcast`);
    return x === 1 ? y : x;
  });
}

function binary(
  name: string,
  gradient?: (a: Value, b: Value, dy: Value, y: Value) => [() => Value, () => Value],
  dtype?: TensorType['dtype'],
): OpDefinition {
  return {
    name,
    domain: '',
    infer(inputs) {
      const [a, b] = inputs as [Value, Value];
      return [{ dtype: dtype ?? a.dtype, dims: broadcast(a.dims, b.dims) }];
    },
    ...(gradient && {
      gradient(node, [dy], wanted) {
        const [a, b] = node.inputs as [Value, Value];
        const [da, db] = gradient(a, b, dy!, node.outputs[0]!);
        return [wanted[0] ? sumTo(da(), a.dims) : null, wanted[1] ? sumTo(db(), b.dims) : null];
      },
    }),
  };
}

function unary(name: string, gradient?: (x: Value, dy: Value, y: Value) => Value): OpDefinition {
  return {
    name,
    domain: '',
    infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
    ...(gradient && { gradient: (node, [dy]) => [gradient(node.inputs[0]!, dy!, node.outputs[0]!)] }),
  };
}

const Add = binary('Add', (_a, _b, dy) => [() => dy, () => dy]);
const Sub = binary('Sub', (_a, _b, dy) => [() => dy, () => neg(dy)]);
const Mul = binary('Mul', (a, b, dy) => [() => mul(dy, b), () => mul(dy, a)]);
const Div = binary('Div', (_a, b, dy, y) => [() => div(dy, b), () => neg(div(mul(dy, y), b))]);
const Max = binary('Max');
const Min = binary('Min');
const Less = binary('Less', undefined, 'bool');
const Equal = binary('Equal', undefined, 'bool');
const And = binary('And', undefined, 'bool');

const Neg = unary('Neg', (_x, dy) => neg(dy));
const Exp = unary('Exp', (_x, dy, y) => mul(dy, y));
const Log = unary('Log', (x, dy) => div(dy, x));
const Sqrt = unary('Sqrt', (_x, dy, y) => div(scale(dy, 0.5), y));
/** The gradient is 0 at 0, where |x| has no derivative. */
const Abs = unary('Abs', (x, dy) => mul(dy, sign(x)));
const Sign = unary('Sign');
const Round = unary('Round');
const Floor = unary('Floor');
const Sigmoid = unary('Sigmoid', (x, dy, y) => mul(dy, mul(y, sub(x.graph.scalar(1), y))));
const Identity = unary('Identity', (_x, dy) => dy);
const StopGradient: OpDefinition = { ...unary('Identity'), gradient: () => [null] };

export const add = (a: Value, b: Value): Value => apply(Add, [a, b]);
export const sub = (a: Value, b: Value): Value => apply(Sub, [a, b]);
export const mul = (a: Value, b: Value): Value => apply(Mul, [a, b]);
export const div = (a: Value, b: Value): Value => apply(Div, [a, b]);
export const maximum = (a: Value, b: Value): Value => apply(Max, [a, b]);
export const minimum = (a: Value, b: Value): Value => apply(Min, [a, b]);
export const less = (a: Value, b: Value): Value => apply(Less, [a, b]);
export const equal = (a: Value, b: Value): Value => apply(Equal, [a, b]);
export const and = (a: Value, b: Value): Value => apply(And, [a, b]);
export const neg = (x: Value): Value => apply(Neg, [x]);
export const exp = (x: Value): Value => apply(Exp, [x]);
export const log = (x: Value): Value => apply(Log, [x]);
export const sqrt = (x: Value): Value => apply(Sqrt, [x]);
export const abs = (x: Value): Value => apply(Abs, [x]);
/** −1, 0 or 1. */
export const sign = (x: Value): Value => apply(Sign, [x]);
/** Rounds half to even, as ONNX and PyTorch do. */
export const round = (x: Value): Value => apply(Round, [x]);
/** The largest integer not above x. */
export const floor = (x: Value): Value => apply(Floor, [x]);
export const sigmoid = (x: Value): Value => apply(Sigmoid, [x]);
/** A copy under another name. */
export const identity = (x: Value): Value => apply(Identity, [x]);
/** The value, treated as a constant in differentiation. */
export const stopGradient = (x: Value): Value => apply(StopGradient, [x]);
/** Multiplies by a number. */
export const scale = (x: Value, factor: number): Value => (factor === 1 ? x : mul(x, x.graph.scalar(factor)));

const Where: OpDefinition = {
  name: 'Where',
  domain: '',
  infer(inputs) {
    const [condition, a, b] = inputs as [Value, Value, Value];
    return [{ dtype: a.dtype, dims: broadcast(condition.dims, broadcast(a.dims, b.dims)) }];
  },
  gradient(node, [dy]) {
    const [condition, a, b] = node.inputs as [Value, Value, Value];
    const zero = dy!.graph.scalar(0);
    return [null, sumTo(where(condition, dy!, zero), a.dims), sumTo(where(condition, zero, dy!), b.dims)];
  },
};

/** a where the condition holds, else b. */
export function where(condition: Value, a: Value, b: Value): Value {
  return apply(Where, [condition, a, b]);
}
