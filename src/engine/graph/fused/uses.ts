import type { Graph, Value } from '../graph.ts';

/** Tells how often a value of a graph is read. */
export type Uses = (value: Value | undefined) => number;

/** Counts what reads the values of a graph: inputs of nodes, and outputs. */
export function usesOf(graph: Graph, outputs: Readonly<Record<string, Value>>): Uses {
  const uses = new Map<Value, number>();
  for (const value of [...Object.values(outputs), ...graph.nodes.flatMap(({ inputs }) => inputs)])
    uses.set(value, (uses.get(value) ?? 0) + 1);
  return (value) => (value && uses.get(value)) ?? 0;
}
