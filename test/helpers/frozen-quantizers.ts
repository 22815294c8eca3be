/**
 * Quantizers as functions that have finite differences. A quantizer is a staircase, so its straight-through derivative
 * is the exact derivative of x + s·e with e = (Q(x) − x)/s frozen at the base point: s is 1, or the live scale s(x).
 */
import {
  type Attributes,
  floatAttribute,
  type Graph,
  intAttribute,
  type Node,
  type Value,
} from '../../src/engine/graph/graph.ts';
import { abs, add, div, maximum, minimum, mul, scale, sub } from '../../src/engine/graph/ops/elementwise.ts';
import { reduceMax, reduceMin } from '../../src/engine/graph/ops/reduce.ts';
import { expand, reshape } from '../../src/engine/graph/ops/shape.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { rebuild } from '../../src/engine/graph/rebuild.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { elementCount, type HostTensor } from '../../src/protocol/tensor.ts';

/** A graph with its quantizers frozen at a base point, and the program that measures the offsets e there. */
export interface Frozen {
  /** Null where nothing is quantized. */
  readonly offsets: Program | null;
  readonly run: Program;
}

const QUANTIZERS = new Set(['FakeQuantize', 'FakeQuantizeWeight']);

/** @param live whether the scales of activation quantizers follow their inputs; those of weights never do. */
export async function freeze(
  runtime: Runtime,
  graph: Graph,
  outputs: Record<string, Value>,
  live: boolean,
): Promise<Frozen> {
  const nodes = graph.nodes.filter((node) => QUANTIZERS.has(node.op.name));
  const scaleAt = (node: Node, x: Value): Value =>
    live && node.op.name === 'FakeQuantize' ? liveScale(x, node.attributes) : x.graph.scalar(1);
  const frozen = rebuild(graph, outputs, (node, inputs) => {
    const index = nodes.indexOf(node);
    const x = inputs[0]!;
    return index < 0 ? null : [add(x, mul(scaleAt(node, x), x.graph.input(`offset${index}`, x.dims)))];
  });
  const run = await Program.compile(runtime, frozen.graph, frozen.outputs);
  const measured = nodes.map((node, index): [string, Value] => {
    const x = node.inputs[0]!;
    return [`offset${index}`, div(sub(node.outputs[0]!, x), scaleAt(node, x))];
  });
  return {
    run,
    offsets: nodes.length > 0 ? await Program.compile(runtime, graph, Object.fromEntries(measured)) : null,
  };
}

/** Runs with the offsets of the base point: measured at the first call, kept afterwards. */
export class FrozenRunner {
  readonly #frozen: Frozen;
  readonly #kept = new Map<string, Tensors>();

  constructor(frozen: Frozen) {
    this.#frozen = frozen;
  }

  async run(key: string, tensors: Tensors): Promise<Record<string, HostTensor>> {
    const { offsets, run } = this.#frozen;
    if (!this.#kept.has(key)) this.#kept.set(key, (await offsets?.run(tensors)) ?? {});
    return run.run({ ...tensors, ...this.#kept.get(key) });
  }
}

/** s(x) of each element's group, in the shape of x, written out anew. No group may be all one value. */
function liveScale(x: Value, attributes: Attributes): Value {
  const group = intAttribute(attributes, 'group') || x.dim(-1);
  const rows = reshape(x, [elementCount(x.dims) / group, group]);
  const bits = intAttribute(attributes, 'bits');
  const clip = floatAttribute(attributes, 'clip_ratio');
  const zero = x.graph.scalar(0);
  let s: Value;
  if (intAttribute(attributes, 'symmetric') === 1) {
    s = scale(reduceMax(abs(rows), [-1]), clip / (2 ** (bits - 1) - 1));
  } else {
    let [lo, hi] = [reduceMin(rows, [-1]), reduceMax(rows, [-1])];
    if (intAttribute(attributes, 'include_zero') === 1) [lo, hi] = [minimum(lo, zero), maximum(hi, zero)];
    s = scale(sub(hi, lo), clip / (2 ** bits - 1));
  }
  return reshape(expand(s, rows.dims), x.dims);
}
