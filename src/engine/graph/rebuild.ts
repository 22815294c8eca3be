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
  const graph = new Graph(source.real);
  const leaf = (name: string, { dims, dtype }: Value): Value => graph.input(name, dims, inputType(dtype));
  return { graph, outputs: copied(graph, source, outputs, leaf, rewrite, cut) };
}

/**
 * Computes in a graph what another one does.
 * @param outputs values of `source`.
 * @param inputOf the value that stands for an input of `source`; asked once for each.
 * @returns the outputs, as values of `graph`.
 */
export function inlined(
  graph: Graph,
  source: Graph,
  outputs: Readonly<Record<string, Value>>,
  inputOf: (name: string, input: Value) => Value,
): Record<string, Value> {
  return copied(graph, source, outputs, inputOf, () => null, new Map());
}

function copied(
  graph: Graph,
  source: Graph,
  outputs: Readonly<Record<string, Value>>,
  leaf: (name: string, value: Value) => Value,
  rewrite: Rewrite,
  cut: ReadonlyMap<Value, string>,
): Record<string, Value> {
  const needed = neededNodes(source, Object.values(outputs), cut);
  const copies = new Map<Value, Value>();
  const copyOf = (value: Value): Value => {
    const known = copies.get(value);
    if (known) return known;
    const name = cut.get(value) ?? value.inputName;
    if (name === null && !value.constant) throw new Error('a value is used before its node');
    const copy = name === null ? graph.constant(value.constant!) : leaf(name, value);
    copies.set(value, copy);
    return copy;
  };
  for (const node of source.nodes) {
    if (!needed.has(node)) continue;
    const inputs = node.inputs.map(copyOf);
    const results = graph.deriving(
      node.isDerivative,
      () => rewrite(node, inputs) ?? graph.apply(node.op, inputs, node.attributes),
    );
    node.outputs.forEach((output, index) => {
      if (!cut.has(output)) copies.set(output, results[index]!);
    });
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, copyOf(value)]));
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
