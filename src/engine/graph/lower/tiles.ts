import { attentionInTiles } from '../fused/causal-attention.ts';
import { gemmInTiles } from '../fused/gemm-bfloat16.ts';
import { quantizedRows } from '../fused/row-codes.ts';
import type { Rewrite } from '../rebuild.ts';

/**
 * The precision of float32 products where the processor has tiles of bfloat16. `float32` is as exact as float32 allows.
 * `bfloat16x2` takes each factor as the sum of two bfloat16 numbers, off by at most 2^-16 of it.
 */
export type Precision = 'float32' | 'bfloat16x2';

/** Rewrites products at this precision, for a runtime whose `multipliesBfloat16` is true. */
export function atPrecision(precision: Precision): Rewrite {
  const pieces = precision === 'float32' ? 3 : 2;
  return (node, inputs) => {
    const product = quantizedRows(node, inputs) ?? gemmInTiles(node, inputs, pieces);
    return product ?? (pieces === 2 ? attentionInTiles(node, inputs) : null);
  };
}
