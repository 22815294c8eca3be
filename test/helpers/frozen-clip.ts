/**
 * Weights and rows on clipped grids as functions that have finite differences: both roundings are additions of what they added at
 * the base point, and everything else moves. Written out anew, from the formula.
 */
import { type Attributes, type Graph, intAttribute, type Value } from '../../src/engine/graph/graph.ts';
import {
  add,
  div,
  less,
  maximum,
  mul,
  neg,
  round,
  scale,
  sub,
  where,
} from '../../src/engine/graph/ops/elementwise.ts';
import { reduceMax, reduceMin } from '../../src/engine/graph/ops/reduce.ts';
import { reshape } from '../../src/engine/graph/ops/shape.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { rebuild } from '../../src/engine/graph/rebuild.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { elementCount } from '../../src/protocol/tensor.ts';

/** What a rounding adds, taken from the value before it. */
type Rounding = (before: Value, name: string) => Value;

function clipped([w, upper, lower]: readonly Value[], attributes: Attributes, rounded: Rounding): Value {
  const grids = elementCount(upper!.dims);
  const rows = reshape(w!, [grids, elementCount(w!.dims) / grids]);
  const [u, l] = [reshape(upper!, [grids, 1]), reshape(lower!, [grids, 1])];
  const zero = w!.graph.scalar(0);
  const whole = intAttribute(attributes, 'include_zero') === 1;
  const [least, most] = [reduceMin(rows, [1]), reduceMax(rows, [1])];
  const [from, to] = whole ? [where(less(least, zero), least, zero), maximum(most, zero)] : [least, most];
  const bits = intAttribute(attributes, 'bits');
  const isSymmetric = intAttribute(attributes, 'symmetric') === 1;
  // Ends of one sign that would pass each other stay where they are.
  const passes = less(mul(u, to), mul(l, from));
  const end = (factor: Value, at: Value): Value =>
    isSymmetric ? mul(factor, at) : where(passes, at, mul(factor, at));
  const [lo, hi] = [end(l, from), end(u, to)];
  const size = (x: Value): Value => where(less(x, zero), neg(x), x);
  const s = isSymmetric
    ? scale(maximum(size(hi), size(lo)), 1 / (2 ** (bits - 1) - 1))
    : scale(sub(hi, lo), 1 / (2 ** bits - 1));
  const z = isSymmetric ? scale(s, 0) : rounded(neg(div(lo, s)), 'zero');
  const codes = add(rounded(div(rows, s), 'codes'), z);
  const [first, last] = isSymmetric ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  const [bottom, top] = [w!.graph.scalar(first), w!.graph.scalar(last)];
  // Codes are whole: a cut off one is a half away from the ends at least, also when it moves a little.
  const margin = w!.graph.scalar(0.5);
  const cut = where(
    less(add(top, margin), codes),
    top,
    where(less(codes, sub(bottom, margin)), bottom, codes),
  );
  return reshape(mul(s, sub(cut, z)), w!.dims);
}

export interface FrozenClip {
  /** The outputs with frozen roundings, for tensors and what they added. */
  readonly run: Program;
  /** What the roundings add for tensors. */
  readonly offsets: Program;
}

/** @param outputs of a graph whose weights are clipped. */
export async function freezeClips(
  runtime: Runtime,
  graph: Graph,
  outputs: Record<string, Value>,
): Promise<FrozenClip> {
  const nodes = graph.nodes.filter(({ op }) => op.name === 'ClippedWeight');
  const frozen = rebuild(graph, outputs, (node, inputs) => {
    const index = nodes.indexOf(node);
    if (index < 0) return null;
    const added: Rounding = (before, name) => add(before, before.graph.input(`${name}${index}`, before.dims));
    return [clipped(inputs, node.attributes, added)];
  });
  const measured: Record<string, Value> = {};
  nodes.forEach((node, index) => {
    clipped(node.inputs, node.attributes, (before, name) => {
      measured[`${name}${index}`] = sub(round(before), before);
      return round(before);
    });
  });
  return {
    run: await Program.compile(runtime, frozen.graph, frozen.outputs),
    offsets: await Program.compile(runtime, graph, measured),
  };
}

/** Runs with the roundings of the base point. */
export async function atBase(
  frozen: FrozenClip,
  base: Tensors,
): Promise<(tensors: Tensors) => Promise<number>> {
  const offsets = await frozen.offsets.run(base);
  return async (tensors) => Number((await frozen.run.run({ ...tensors, ...offsets })).loss!.data[0]);
}
