import { addProduct, type View } from './dense.ts';
import { planHadamard, signedHadamard } from './hadamard-plan.ts';
import type { Rng } from './random.ts';

/** A start is signs times a Hadamard matrix (the reference's start of learning), or uniform over O(n). */
export type RandomRotationKind = 'hadamard' | 'random';

/**
 * Draws R = diag(s)·H̃: n uniform random signs s times the normalised Hadamard matrix of {@link planHadamard}. R is
 * [n, n] float64 and acts on row vectors, x ↦ x·R. Where the width is served only in blocks, R is block-diagonal.
 */
export function randomSignHadamard(n: number, rng: Rng): Float64Array {
  return drawnHadamard(n, rng, new Float64Array(n * n));
}

function drawnHadamard<T extends Float32Array | Float64Array>(n: number, rng: Rng, rotation: T): T {
  const signs = Float64Array.from({ length: n }, () => rng.sign());
  return signedHadamard(planHadamard(n), signs, rotation);
}

/** This many reflectors are applied together. */
const PANEL = 32;

/**
 * Draws a rotation uniformly (Haar measure) from the orthogonal group, [n, n] float64.
 * It is the Q of the QR decomposition of a Gaussian matrix with the signs of R's diagonal moved into Q. The
 * decomposition itself is not carried out: after each Householder reflection the rest of the matrix is again Gaussian
 * and independent of the steps before. So Q = H_1·H_2 ⋯ H_{n−1}·diag(σ), where H_k reflects a fresh Gaussian vector
 * of length n − k + 1 to its first axis (Stewart 1980). It draws n(n+1)/2 normals row by row. The reflections are
 * applied in panels, I − V·T·Vᵀ (Schreiber & Van Loan 1989), with 4/3·n³ multiply-adds.
 */
export function haarRotation(n: number, rng: Rng): Float64Array {
  const rotation = new Float64Array(n * n);
  const reflectors: Reflector[] = [];
  for (let k = 0; k < n; k++) reflectors.push(drawReflector(n - k, rng));
  for (let k = 0; k < n; k++) rotation[k * n + k] = reflectors[k]!.sign;
  for (let first = PANEL * Math.floor((n - 1) / PANEL); first >= 0; first -= PANEL) {
    const count = Math.min(PANEL, n - first);
    applyPanel(rotation, n, first, reflectors.slice(first, first + count));
  }
  return rotation;
}

/** H = I − β·v·vᵀ acts on the last `vector.length` coordinates and takes its Gaussian vector x to sign·‖x‖·e₁. */
interface Reflector {
  readonly vector: Float64Array;
  /** 0 where there is nothing to reflect. */
  readonly beta: number;
  /** The sign of R's diagonal, which moves into Q. */
  readonly sign: 1 | -1;
}

function drawReflector(length: number, rng: Rng): Reflector {
  const vector = rng.fillNormal(new Float64Array(length));
  const lead = vector[0]!;
  if (length === 1) return { vector, beta: 0, sign: lead < 0 ? -1 : 1 };
  let sum = 0;
  for (const value of vector) sum += value * value;
  const norm = Math.sqrt(sum);
  // This sign avoids cancellation: H·x = −sign(lead)·‖x‖·e₁.
  vector[0] = lead + (lead < 0 ? -norm : norm);
  return { vector, beta: 1 / (norm * (norm + Math.abs(lead))), sign: lead < 0 ? 1 : -1 };
}

/** Updates rows and columns from `first` on: Q ← H_first ⋯ H_last · Q = Q − V·(T·(Vᵀ·Q)). */
function applyPanel(
  rotation: Float64Array,
  n: number,
  first: number,
  reflectors: readonly Reflector[],
): void {
  const count = reflectors.length;
  const size = n - first;
  const v = new Float64Array(size * count);
  reflectors.forEach(({ vector }, j) => {
    for (let i = 0; i < vector.length; i++) v[(i + j) * count + j] = vector[i]!;
  });
  const panel: View = { data: v, offset: 0, stride: count };
  const corner: View = { data: rotation, offset: first * n + first, stride: n };
  const projected: View = { data: new Float64Array(count * size), offset: 0, stride: size };
  const turned: View = { data: new Float64Array(count * size), offset: 0, stride: size };
  const t: View = { data: triangularFactor(v, size, reflectors), offset: 0, stride: count };
  addProduct(projected, panel, corner, { m: count, k: size, n: size }, 1, true);
  addProduct(turned, t, projected, { m: count, k: count, n: size });
  addProduct(corner, panel, turned, { m: size, k: count, n: size }, -1);
}

/** Returns upper triangular T with H_1 ⋯ H_c = I − V·T·Vᵀ: T[j, j] = β_j, T[·, j] = −β_j·T·(Vᵀ·v_j) above it. */
function triangularFactor(v: Float64Array, size: number, reflectors: readonly Reflector[]): Float64Array {
  const count = reflectors.length;
  const t = new Float64Array(count * count);
  const dots: View = { data: new Float64Array(count * count), offset: 0, stride: count };
  const panel: View = { data: v, offset: 0, stride: count };
  addProduct(dots, panel, panel, { m: count, k: size, n: count }, 1, true);
  for (let j = 0; j < count; j++) {
    const { beta } = reflectors[j]!;
    t[j * count + j] = beta;
    for (let i = 0; i < j; i++) {
      let sum = 0;
      for (let p = i; p < j; p++) sum += t[i * count + p]! * dots.data[p * count + j]!;
      t[i * count + j] = -beta * sum;
    }
  }
  return t;
}

/** The sizes of a model's rotations. */
export interface RotationSizes {
  readonly hidden: number;
  readonly headDim: number;
  readonly layers: number;
  /** R2 of each layer: 1, where absent, or one for each key/value head. */
  readonly r2PerLayer?: number | undefined;
}

/** The starting rotations of a model are in float32, as they are learned. */
export interface StartingRotations {
  /** [hidden, hidden], or null when R1 is not used. */
  readonly r1: Float32Array | null;
  /** One [headDim, headDim] per layer, or so many as are asked for, or null when R2 is not used. */
  readonly r2: readonly Float32Array[] | null;
}

/**
 * Draws the rotations of a whole model from one stream in the reference's order: R1, then R2 of layers 0 … L − 1, in
 * each layer of key/value heads 0 … G − 1 where these have their own. A kind of null draws nothing. As in the reference, R2 alone differs from the R2 drawn after an R1 of the same seed.
 */
export function drawRotations(
  model: RotationSizes,
  kinds: { readonly r1: RandomRotationKind | null; readonly r2: RandomRotationKind | null },
  rng: Rng,
): StartingRotations {
  const draw = (kind: RandomRotationKind, n: number) =>
    kind === 'hadamard'
      ? drawnHadamard(n, rng, new Float32Array(n * n))
      : new Float32Array(haarRotation(n, rng));
  const r1 = kinds.r1 === null ? null : draw(kinds.r1, model.hidden);
  const r2Kind = kinds.r2;
  const count = model.layers * (model.r2PerLayer ?? 1);
  const r2 = r2Kind === null ? null : Array.from({ length: count }, () => draw(r2Kind, model.headDim));
  return { r1, r2 };
}
