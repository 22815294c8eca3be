import { type HadamardTransform, hadamard } from '../graph/fused/hadamard.ts';
import type { Value } from '../graph/graph.ts';
import { div, mul } from '../graph/ops/elementwise.ts';
import { gemm, matmul } from '../graph/ops/matmul.ts';
import { reshape, transpose } from '../graph/ops/shape.ts';

/** A linear map on the channels at one side of a weight: what gains and the maps at seams amount to there. */
export type SideTransform =
  | { readonly kind: 'identity' }
  /** diag(gain) [n]. */
  | { readonly kind: 'diagonal'; readonly gain: Value }
  /** A dense matrix [n, n]. */
  | { readonly kind: 'dense'; readonly matrix: Value }
  /** One [h, h] matrix on every head of h channels. */
  | { readonly kind: 'heads'; readonly matrix: Value }
  /** A fixed Hadamard transform. */
  | { readonly kind: 'hadamard'; readonly transform: HadamardTransform };

export const IDENTITY: SideTransform = { kind: 'identity' };

/** First a, then b. @throws Error for pairs that no table of seams puts behind each other. */
export function composed(a: SideTransform, b: SideTransform): SideTransform {
  if (a.kind === 'identity') return b;
  if (b.kind === 'identity') return a;
  if (a.kind === 'diagonal' && b.kind === 'dense')
    return { kind: 'dense', matrix: mul(reshape(a.gain, [a.gain.dim(0), 1]), b.matrix) };
  if (a.kind === 'dense' && b.kind === 'diagonal')
    return { kind: 'dense', matrix: mul(a.matrix, reshape(b.gain, [1, b.gain.dim(0)])) };
  if (a.kind === 'diagonal' && b.kind === 'diagonal') return { kind: 'diagonal', gain: mul(a.gain, b.gain) };
  throw new Error(`no seam has ${a.kind} before ${b.kind}`);
}

/** T⁻ᵀ, which the readers of channels x T take. Orthogonal maps are their own. */
export function inverseTransposed(map: SideTransform): SideTransform {
  if (map.kind !== 'diagonal') return map;
  return { kind: 'diagonal', gain: div(map.gain.graph.scalar(1), map.gain) };
}

/** Rows x [T, n] times A, or Aᵀ. */
export function timesTransform(x: Value, a: SideTransform, transB = false): Value {
  switch (a.kind) {
    case 'identity':
      return x;
    case 'diagonal':
      return mul(x, a.gain);
    case 'dense':
      return gemm(x, a.matrix, { transB });
    case 'heads':
      return perHead(x, a.matrix.dim(0), (rows) => gemm(rows, a.matrix, { transB }));
    case 'hadamard':
      return hadamard(x, a.transform, transB);
  }
}

/** Rows x [T, n] times Aᵀ. */
export const timesTransposed = (x: Value, a: SideTransform): Value => timesTransform(x, a, true);

/** Lᵀ W for W [out, in]: the new output basis of a weight. */
export function transposedTimesWeight(l: SideTransform, w: Value): Value {
  switch (l.kind) {
    case 'identity':
      return w;
    case 'dense':
      return gemm(l.matrix, w, { transA: true });
    case 'heads': {
      const h = l.matrix.dim(0);
      const blocks = reshape(w, [w.dim(0) / h, h, w.dim(1)]);
      return reshape(matmul(transpose(l.matrix, [1, 0]), blocks), w.dims);
    }
    case 'diagonal':
      return mul(w, reshape(l.gain, [l.gain.dim(0), 1]));
    case 'hadamard':
      throw new Error(`no rotation of ours is ${l.kind} on the output side of a weight`);
  }
}

/**
 * ∂loss/∂A for a map whose loss depends on A through y = f(p Aᵀ…): the sum over tokens of pᵀ x, taken per head
 * where A is one matrix for all heads. @returns null for transforms that are not learned.
 */
export function outerGradient(p: Value, x: Value, a: SideTransform): Value | null {
  switch (a.kind) {
    case 'dense':
      return gemm(p, x, { transA: true });
    case 'heads': {
      const h = a.matrix.dim(0);
      return gemm(headRows(p, h), headRows(x, h), { transA: true });
    }
    default:
      return null;
  }
}

function headRows(x: Value, h: number): Value {
  return reshape(x, [(x.dim(0) * x.dim(1)) / h, h]);
}

function perHead(x: Value, h: number, map: (rows: Value) => Value): Value {
  return reshape(map(headRows(x, h)), x.dims);
}
