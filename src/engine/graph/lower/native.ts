import { withAddedProducts } from '../fused/gemm-bfloat16.ts';
import { withHeadRows } from '../fused/head-rows.ts';
import { withInt4Neighbours } from '../fused/int4-products.ts';
import { swappedAxes } from '../fused/swap-axes.ts';
import { usesOf } from '../fused/uses.ts';
import { widened } from '../fused/widen.ts';
import type { Graph, Value } from '../graph.ts';
import { type Rebuilt, type Rewrite, rebuild } from '../rebuild.ts';
import type { Abilities } from './abilities.ts';
import { composeHelpers } from './composed.ts';
import { atPrecision, onVectors, type Precision } from './tiles.ts';

/**
 * Rewrites a graph in the operators of our native kernels.
 */
export function lowerNative(
  graph: Graph,
  outputs: Readonly<Record<string, Value>>,
  cut: ReadonlyMap<Value, string> | undefined,
  precision: Precision,
  abilities: Abilities,
): Rebuilt {
  const helpers = rebuild(graph, outputs, composeHelpers, cut);
  const products = rebuild(
    helpers.graph,
    helpers.outputs,
    withInt4Neighbours(usesOf(helpers.graph, helpers.outputs)),
  );
  const joined = rebuild(
    products.graph,
    products.outputs,
    withHeadRows(usesOf(products.graph, products.outputs)),
  );
  const native = rebuild(joined.graph, joined.outputs, swappedAxes);
  const inBfloat16 = bfloat16Rewrite(precision, abilities);
  if (!inBfloat16) return rebuild(native.graph, native.outputs, widened);
  const tiled = rebuild(native.graph, native.outputs, inBfloat16);
  const added = withAddedProducts(tiled.graph, Object.values(tiled.outputs));
  const fused = rebuild(tiled.graph, tiled.outputs, added);
  // This copy also drops the nodes that nothing reads any longer.
  return rebuild(fused.graph, fused.outputs, widened);
}

/** Which products become those of bfloat16; null for none. */
function bfloat16Rewrite(
  precision: Precision,
  { bfloat16Products, roundedProducts }: Abilities,
): Rewrite | null {
  if (bfloat16Products) return atPrecision(precision);
  return roundedProducts ? onVectors(precision) : null;
}
