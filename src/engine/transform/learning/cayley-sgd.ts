import { elementCount, float32 } from '../../../protocol/tensor.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { abs, add, div, minimum, mul, neg, scale, sqrt, sub } from '../../graph/ops/elementwise.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { reduceMax, reduceSum } from '../../graph/ops/reduce.ts';
import { reshape, transposeLast } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';

/** Fixed-point iterations of the Cayley transform. Each contracts the error by ‖αW/2‖ ≤ ½. */
export const CAYLEY_ITERATIONS = 5;
/** Keeps row norms and the step cap away from division by zero. */
export const CAYLEY_EPSILON = 1e-8;
/**
 * Drift from orthogonality, max |PᵀP − I|, above which a step ends in the polar projection.
 * The published optimizer instead replaces P by a QR factor with probability 1/101 per parameter and step, drawn from
 * the global random state of each process: a run then depends on what else drew from that state, workers can fall out
 * of step, and a resumed run differs. Acting on the drift itself is deterministic and moves P by the least possible.
 */
export const MAX_DRIFT = 1e-5;

/** Report of one optimizer step. */
export interface CayleyStep {
  /** The new rotations, in the order given. */
  readonly matrices: Float32Array[];
  /** 1/‖W‖₁ per rotation: the largest step that the iteration allows. */
  readonly caps: readonly number[];
  /** max |PᵀP − I| over the rotations. */
  readonly orthogonalityError: number;
}

/**
 * One step of gradient descent on the Stiefel manifold for rotations of one size (SGDG of Li et al. 2020, as SpinQuant
 * uses it): with U the row-normalised P and V = −Gᵀ, W is the skew part of V U − ½Uᵀ(U V U), α = min(1/‖W‖₁, η), and
 * the Cayley transform Y = (I − αW/2)⁻¹(I + αW/2)Uᵀ is approached from Uᵀ + αV by Y ← Uᵀ + (α/2)W(Uᵀ + Y). New P = Yᵀ.
 *
 * @param rotations N matrices [n, n], row-major.
 * @param rotationGradients ∂loss/∂P, same shapes, clipped already.
 */
export async function cayleyStep(
  cache: ProgramCache,
  rotations: readonly Float32Array[],
  rotationGradients: readonly Float32Array[],
  learningRate: number,
  signal?: AbortSignal,
): Promise<CayleyStep> {
  const n = Math.sqrt(rotations[0]?.length ?? 0);
  const dims = [rotations.length, n, n];
  const program = await cache.get(CAYLEY_STEP, dims);
  const rate = float32([], Float32Array.of(learningRate));
  const out = await program.run(
    { p: stack(dims, rotations), g: stack(dims, rotationGradients), rate },
    signal,
  );
  const kept = await keptOrthogonal(cache, out.next, scalarOf(out.drift), signal);
  return {
    caps: Array.from(out.cap.data),
    matrices: unstack(kept.next, rotations.length),
    orthogonalityError: kept.error,
  };
}

/** The rotations [N, n, n] as they are, or after a pass towards the manifold when they have drifted too far. */
export async function keptOrthogonal(
  cache: ProgramCache,
  next: Reals,
  error: number,
  signal?: AbortSignal,
): Promise<{ next: Reals; error: number }> {
  return error <= MAX_DRIFT ? { next, error } : orthogonalize(cache, next, signal);
}

const CAYLEY_STEP: ProgramKind<readonly number[], Record<'next' | 'cap' | 'drift', Reals>> = {
  name: 'cayley',
  build(dims) {
    const graph = new Graph();
    return { graph, outputs: cayleyExpression(graph, dims) };
  },
};

/** p, g [N, n, n], rate → next [N, n, n], cap [N], drift. Shared with the tests, in either real type. */
export function cayleyExpression(
  graph: Graph,
  dims: readonly number[],
): Record<'next' | 'cap' | 'drift', Value> {
  const { next, cap } = cayleyUpdate(graph.input('p', dims), graph.input('g', dims), graph.input('rate', []));
  return { next, cap, drift: driftOf(next) };
}

/** The step described at {@link cayleyStep}: p, g [N, n, n] → next [N, n, n], cap [N]. */
export function cayleyUpdate(p: Value, g: Value, rate: Value): { next: Value; cap: Value } {
  const { graph } = p;
  const rowNorm = sqrt(reduceSum(mul(p, p), [-1]));
  const u = div(p, add(rowNorm, graph.scalar(CAYLEY_EPSILON)));
  const ut = transposeLast(u);
  const v = neg(transposeLast(g));
  const vu = matmul(v, u);
  const half = sub(vu, scale(matmul(ut, matmul(u, vu)), 0.5));
  const w = sub(half, transposeLast(half));
  const cap = div(graph.scalar(1), add(reduceMax(reduceSum(abs(w), [1]), [2]), graph.scalar(CAYLEY_EPSILON)));
  const alpha = minimum(cap, rate);
  const halfStep = mul(w, scale(alpha, 0.5));
  let y = add(ut, mul(v, alpha));
  for (let i = 0; i < CAYLEY_ITERATIONS; i++) y = add(ut, matmul(halfStep, add(ut, y)));
  return { next: transposeLast(y), cap: reshape(cap, [p.dim(0)]) };
}

/** max |PᵀP − I|, a scalar. */
export function driftOf(p: Value): Value {
  const n = p.dim(-1);
  const identity = p.graph.reals([1, n, n], identityMatrix(n));
  return reshape(reduceMax(abs(sub(matmul(transposeLast(p), p), identity)), [0, 1, 2]), []);
}

/**
 * One Newton–Schulz pass P ← ½(3I − PPᵀ)P towards the nearest orthogonal matrix. The reference re-orthogonalises by a
 * QR with probability 1/101 per step from a per-process random state; a pass when it is needed is reproducible.
 */
async function orthogonalize(
  cache: ProgramCache,
  p: Reals,
  signal?: AbortSignal,
): Promise<{ next: Reals; error: number }> {
  const out = await (await cache.get(NEWTON_SCHULZ, p.dims)).run({ p }, signal);
  return { next: out.next, error: scalarOf(out.drift) };
}

const NEWTON_SCHULZ: ProgramKind<readonly number[], Record<'next' | 'drift', Reals>> = {
  name: 'newton-schulz',
  build(dims) {
    const graph = new Graph();
    const x = graph.input('p', dims);
    const next = sub(scale(x, 1.5), scale(matmul(matmul(x, transposeLast(x)), x), 0.5));
    return { graph, outputs: { next, drift: driftOf(next) } };
  },
};

/** The number of a tensor of rank 0. */
export function scalarOf({ data }: Reals): number {
  return data[0] ?? Number.NaN;
}

function identityMatrix(n: number): Float64Array {
  const identity = new Float64Array(n * n);
  for (let i = 0; i < n; i++) identity[i * n + i] = 1;
  return identity;
}

/** N matrices as one [N, n, n]. */
export function stack(dims: readonly number[], matrices: readonly Float32Array[]): Reals {
  const data = new Float32Array(elementCount(dims));
  matrices.forEach((matrix, index) => {
    data.set(matrix, index * matrix.length);
  });
  return float32(dims, data);
}

export function unstack({ data }: Reals, count: number): Float32Array[] {
  const size = data.length / count;
  return Array.from({ length: count }, (_, index) => data.slice(index * size, (index + 1) * size));
}
