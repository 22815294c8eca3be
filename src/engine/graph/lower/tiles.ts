import { attentionInTiles } from '../fused/causal-attention.ts';
import { gemmInTiles, gemmWithCodes } from '../fused/gemm-bfloat16.ts';
import { quantizedRows } from '../fused/row-codes.ts';
import type { Rewrite } from '../rebuild.ts';

/**
 * The precision of float32 products where the processor multiplies bfloat16. `float32` is as exact as float32 allows.
 * `bfloat16x2` takes each factor as the sum of two bfloat16 numbers, off by at most 2^-16 of it. `bfloat16` does so too,
 * but takes a single one in products of derivatives, off by at most 2^-8; `bfloat16-all` takes a single one everywhere.
 * `int8` does so too, but takes products of derivatives in bytes where these are faster, off by about 2^-8 of the largest
 * number of a row.
 */
export type Precision = 'float32' | 'bfloat16x2' | 'bfloat16' | 'bfloat16-all' | 'int8';

/** True where the forward pass takes a single bfloat16 number for each factor, too. */
export const roundsForward = (precision: Precision): boolean =>
  precision === 'bfloat16-all' || precision === 'int8';

/** True where factors of derivatives are rounded to one number of 8 bits, so that codes stand for themselves. */
export const roundsDerivatives = (precision: Precision): boolean =>
  precision === 'bfloat16' || roundsForward(precision);

/** The same for what learning only looks at, which is no less precise than two numbers. */
export const ofObserved = (precision: Precision): Precision =>
  roundsForward(precision) ? 'bfloat16x2' : precision;

/** The same for products whose factors a few numbers dominate, too large for the others to be seen in a byte. */
export const ofPeaked = (precision: Precision): Precision =>
  precision === 'int8' ? 'bfloat16-all' : precision;

/** Rewrites products at this precision, for a runtime whose `multipliesBfloat16` is true. */
export function atPrecision(precision: Precision): Rewrite {
  const pieces = { float32: 3, bfloat16x2: 2, bfloat16: 2, 'bfloat16-all': 1, int8: 1 } as const;
  const forward = pieces[precision];
  return (node, inputs) => {
    const ofNode = precision === 'bfloat16' && node.isDerivative ? 1 : forward;
    const product = quantizedRows(node, inputs) ?? gemmInTiles(node, inputs, ofNode);
    if (product || ofNode === 3 || forward === 3) return product;
    return attentionInTiles(node, inputs, ofNode, forward);
  };
}

/**
 * Rewrites products at this precision for a runtime that multiplies bfloat16 on vectors, twice as fast as float32: only
 * what takes one product of theirs is faster. That are derivatives, with `bfloat16-all` and `int8` all products, and
 * floats by codes in whole numbers of 16 bits.
 * @returns null where nothing is to be rewritten.
 */
export function onVectors(precision: Precision): Rewrite | null {
  if (precision === 'float32') return null;
  return (node, inputs) => {
    const units = quantizedRows(node, inputs);
    if (units) return units;
    const all = roundsForward(precision);
    if (!all && !(precision === 'bfloat16' && node.isDerivative)) return gemmWithCodes(node, inputs);
    const form = precision === 'int8' && node.isDerivative ? 'bytes' : 1;
    return gemmInTiles(node, inputs, form) ?? attentionInTiles(node, inputs, 1, all ? 1 : 2);
  };
}
