import type { Node, Value } from '../graph.ts';
import type { Rewrite } from '../rebuild.ts';

/** Expands every `spinquant` node into standard operators, for runtimes without our kernels. */
export const composeAll: Rewrite = (node, inputs) => composeNode(node, inputs, true);

/** Expands only the helpers that have no kernel of their own. */
export const composeHelpers: Rewrite = (node, inputs) => composeNode(node, inputs, false);

function composeNode(node: Node, inputs: readonly Value[], all: boolean): Value[] | null {
  if (node.op.domain === '' || !(all || node.op.composedOnly)) return null;
  if (!node.op.compose) throw new Error(`${node.op.name} has no composed form`);
  return node.op.compose(inputs, node.attributes);
}
