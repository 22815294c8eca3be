import type { DType } from '../../protocol/tensor.ts';
import { Graph, type Node, type Value } from './graph.ts';

/** Replaces a node while a graph is copied: it gets the copied inputs and returns new outputs, or null to keep it. */
export type Rewrite = (node: Node, inputs: readonly Value[]) => Value[] | null;

export interface Rebuilt {
  readonly graph: Graph;
  readonly outputs: Record<string, Value>;
}

/**
 * Copies what the outputs need into a new graph and rewrites nodes on the way.
 * @param cut intermediate values to turn into inputs of the copy, by name (saved tensors).
 * @param inputType the type that the copy declares for an input of the source.
 */
export function rebuild(
  source: Graph,
  outputs: Readonly<Record<string, Value>>,
  rewrite: Rewrite,
  cut: ReadonlyMap<Value, string> = new Map(),
  inputType: (dtype: DType) => DType = (dtype) => dtype,
): Rebuilt {
  const needed = neededNodes(source, Object.values(outputs), cut);
  const graph = new Graph(source.real);
  const copies = new Map<Value, Value>();
  const copyOf = (value: Value): Value => {
    const known = copies.get(value);
    if (known) return known;
    const name = cut.get(value) ?? value.inputName;
    if (name === null && !value.constant) throw new Error('a value is used before its node');
    const copy =
      name === null ? graph.constant(value.constant!) : graph.input(name, value.dims, inputType(value.dtype));
    copies.set(value, copy);
    return copy;
  };
  for (const node of source.nodes) {
    if (!needed.has(node)) continue;
    const inputs = node.inputs.map(copyOf);
    const results = rewrite(node, inputs) ?? graph.apply(node.op, inputs, node.attributes);
    node.outputs.forEach((output, index) => {
      if (!cut.has(output)) copies.set(output, results[index]!);
    });
  }
  return {
    graph,
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, copyOf(value)])),
  };
}

/** Finds the nodes that the outputs depend on, but not those behind cut values. */
function neededNodes(source: Graph, outputs: readonly Value[], cut: ReadonlyMap<Value, string>): Set<Node> {
  const values = new Set<Value>(outputs);
  const needed = new Set<Node>();
  for (const node of [...source.nodes].reverse()) {
    if (!node.outputs.some((output) => values.has(output) && !cut.has(output))) continue;
    needed.add(node);
    for (const input of node.inputs) values.add(input);
  }
  return needed;
}
