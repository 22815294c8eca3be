/** Nodes of our own operators. */
import { float32 } from '../../protocol/tensor.ts';
import type { HadamardTransform } from '../graph/fused/hadamard.ts';
import type { Attributes } from '../graph/graph.ts';
import type { ModelGraph } from './model-graph.ts';

/** @param more names of further outputs. @returns the name of the first. */
export function ownNode(
  graph: ModelGraph,
  name: string,
  op: string,
  inputs: readonly string[],
  attributes: Attributes = {},
  more: readonly string[] = [],
): string {
  return graph.node(name, op, inputs, { domain: 'spinquant', attributes, more });
}

/** x / √(mean(x²) + ε) over the last axis. */
export function ownNorm(graph: ModelGraph, name: string, x: string, epsilon: number): string {
  return ownNode(graph, name, 'RmsNorm', [x], { epsilon: { float: epsilon } });
}

/** The last axis of x times the transform. */
export async function ownHadamard(
  graph: ModelGraph,
  name: string,
  x: string,
  { block, order, matrix }: HadamardTransform,
): Promise<string> {
  if (block === 1) return x;
  const table = matrix && float32([order, order], Float32Array.from(matrix));
  const inputs = table ? [x, await graph.tensor(`${name}.K${order}`, table)] : [x];
  const attributes = { block, order, scale: { float: 1 / Math.sqrt(block) }, transpose: 0 };
  return ownNode(graph, name, 'Hadamard', inputs, attributes);
}
