/** Keys that are rounded without their bias, which comes back in the scores or in the keys themselves. */
import { float32 } from '../../protocol/tensor.ts';
import type { ModelConfig } from '../model/config.ts';
import type { ModelGraph } from './model-graph.ts';

/** The bias of a layer's keys, and tables [positions, h] of cosines beside sines. */
export interface KeyOffset {
  readonly bias: string;
  readonly table: string;
}

/** The attention of a layer, by the name of its nodes. */
export interface OffsetPlace {
  readonly graph: ModelGraph;
  readonly at: string;
  readonly config: ModelConfig;
}

/** Keys [batch, sequence, G·h] less their bias. */
export function withoutBias({ graph, at }: OffsetPlace, keys: string, { bias }: KeyOffset): string {
  return graph.node(`${at}.k.rest`, 'Sub', [keys, bias]);
}

/**
 * Coefficients [batch, G, n·S, h] of the table for queries of the same shape after RoPE, as `key-constant.ts` makes them:
 * scale·[q₁b₁ + q₂b₂ | q₂b₁ − q₁b₂] of halves.
 */
export async function scoreCoefficients(
  { graph, at, config: { kvHeads, headDim } }: OffsetPlace,
  queries: string,
  { bias }: KeyOffset,
): Promise<string> {
  const name = `${at}.offset`;
  const node = (what: string, op: string, inputs: readonly string[]): string =>
    graph.node(`${name}.${what}`, op, inputs);
  const halves = (what: string, x: string): readonly [string, string] => {
    const first = `${name}.${what}1`;
    const second = `${name}.${what}2`;
    graph.node(first, 'Split', [x], { attributes: { axis: -1, num_outputs: 2 }, more: [second] });
    return [first, second];
  };
  const [q1, q2] = halves('q', queries);
  const [b1, b2] = halves('b', node('heads', 'Reshape', [bias, graph.ints([kvHeads, 1, headDim])]));
  const along = node('along', 'Add', [node('q1b1', 'Mul', [q1, b1]), node('q2b2', 'Mul', [q2, b2])]);
  const across = node('across', 'Sub', [node('q2b1', 'Mul', [q2, b1]), node('q1b2', 'Mul', [q1, b2])]);
  const both = graph.node(`${name}.both`, 'Concat', [along, across], { attributes: { axis: -1 } });
  const scale = await graph.tensor(`${name}.scale`, float32([], Float32Array.of(1 / Math.sqrt(headDim))));
  return node('coefficients', 'Mul', [both, scale]);
}
