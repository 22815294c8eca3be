import { elementCount } from '../../../protocol/tensor.ts';
import { apply, intsAttribute, type Node, type OpDefinition, type Value } from '../graph.ts';
import { reshape, transpose } from '../ops/shape.ts';

/** One thread transposes smaller tensors as fast. */
const FEWEST_ELEMENTS = 2 ** 16;

/** Transposes [A, B, C, D] to [A, C, B, D]: all threads copy whole rows of D. */
export const SwapAxes: OpDefinition = {
  name: 'SwapAxes',
  domain: 'spinquant',
  infer: ([x]) => [{ dtype: x!.dtype, dims: [x!.dim(0), x!.dim(2), x!.dim(1), x!.dim(3)] }],
  compose: ([x]) => [transpose(x!, [0, 2, 1, 3])],
};

/**
 * Rewrites a transposition that leaves all elements in their place, or exchanges two neighbouring groups of axes and keeps
 * the last axis; null for others.
 */
export function swappedAxes(node: Node, [x]: readonly Value[]): Value[] | null {
  if (node.op.name !== 'Transpose') return null;
  const perm = intsAttribute(node.attributes, 'perm');
  if (keepsPlaces(x!, perm)) return [reshape(x!, node.outputs[0]!.dims)];
  if (x!.dtype !== 'float32' || elementCount(x!.dims) < FEWEST_ELEMENTS) return null;
  const parts = swappedGroups(perm);
  if (!parts) return null;
  const [start, middle, end] = parts;
  const size = (from: number, to: number) => elementCount(x!.dims.slice(from, to));
  const dims = [size(0, start), size(start, middle), size(middle, end), size(end, x!.rank)];
  return [reshape(apply(SwapAxes, [reshape(x!, dims)]), node.outputs[0]!.dims)];
}

/** True where only axes of one element move, as for a single token. */
function keepsPlaces(x: Value, perm: readonly number[]): boolean {
  const long = perm.filter((axis) => x.dim(axis) > 1);
  return long.every((axis, place) => place === 0 || long[place - 1]! < axis);
}

/** Returns [start, middle, end]: axes start … middle − 1 and middle … end − 1 change places. Null for others. */
function swappedGroups(perm: readonly number[]): [number, number, number] | null {
  const start = perm.findIndex((axis, index) => axis !== index);
  if (start < 0) return null;
  const end = perm.findLastIndex((axis, index) => axis !== index) + 1;
  const middle = perm[start]!;
  const swapped = [
    ...range(0, start),
    ...range(middle, end),
    ...range(start, middle),
    ...range(end, perm.length),
  ];
  return end < perm.length && swapped.every((axis, index) => axis === perm[index])
    ? [start, middle, end]
    : null;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}
