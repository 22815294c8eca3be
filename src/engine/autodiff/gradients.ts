import type { Graph, Node, Value } from '../graph/graph.ts';
import { add } from '../graph/ops/elementwise.ts';

/**
 * Differentiates a tensor expression in reverse mode: emits ∂loss/∂x for each x as further nodes of the same graph.
 * These are Jacobian-transpose products, with one rule per operator; the rules stand beside the operators.
 *
 * @param seeds pairs of an output and ∂loss/∂output, of the same shape.
 * @param wanted values to differentiate with respect to; inputs or intermediates.
 * @returns one gradient per wanted value, of its shape; null where the loss does not depend on it.
 * @throws Error when a needed operator has no derivative.
 */
export function gradients(
  seeds: readonly (readonly [Value, Value])[],
  wanted: readonly Value[],
): (Value | null)[] {
  const graph = seeds[0]![0].graph;
  return graph.deriving(true, () => derivatives(graph, seeds, wanted));
}

function derivatives(
  graph: Graph,
  seeds: readonly (readonly [Value, Value])[],
  wanted: readonly Value[],
): (Value | null)[] {
  const dependent = valuesDependingOn(graph.nodes, wanted);
  const accumulated = new Map<Value, Value>();
  const accumulate = (value: Value, gradient: Value): void => {
    const before = accumulated.get(value);
    accumulated.set(value, before ? add(before, gradient) : gradient);
  };
  for (const [output, seed] of seeds) accumulate(output, seed);

  for (const node of [...graph.nodes].reverse()) {
    const incoming = node.outputs.map((output) => accumulated.get(output) ?? null);
    if (incoming.every((gradient) => gradient === null)) continue;
    if (!node.inputs.some((input) => dependent.has(input))) continue;
    propagate(node, incoming, dependent, accumulate);
  }
  return wanted.map((value) => accumulated.get(value) ?? null);
}

function propagate(
  node: Node,
  incoming: readonly (Value | null)[],
  dependent: ReadonlySet<Value>,
  accumulate: (value: Value, gradient: Value) => void,
): void {
  if (!node.op.gradient) throw new Error(`${node.op.name} has no derivative`);
  const wanted = node.inputs.map((input) => dependent.has(input));
  const outgoing = node.op.gradient(node, incoming, wanted);
  node.inputs.forEach((input, index) => {
    const gradient = outgoing[index];
    if (!gradient || !wanted[index]) return;
    if (gradient.dims.join() !== input.dims.join()) {
      throw new Error(`derivative of ${node.op.name}: [${gradient.dims}] for an input of [${input.dims}]`);
    }
    accumulate(input, gradient);
  });
}

function valuesDependingOn(nodes: readonly Node[], roots: readonly Value[]): Set<Value> {
  const dependent = new Set<Value>(roots);
  for (const node of nodes) {
    if (node.inputs.some((input) => dependent.has(input)))
      for (const output of node.outputs) dependent.add(output);
  }
  return dependent;
}
