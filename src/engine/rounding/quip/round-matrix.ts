import { float32 } from '../../../protocol/tensor.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { reverseFactor } from '../reverse-cholesky.ts';
import { blockFeedback, blockGain } from './block-factors.ts';
import { paddedColumns, resized, TWO_SIDED } from './incoherence.ts';
import { roundToLattice } from './lattice-kernels.ts';
import { type LatticeBits, type LatticePoints, latticeValues } from './round-in-loops.ts';

/** What the linear layers that read the same rows share. */
export interface MixedInputs {
  /** Whole blocks of eight. */
  readonly columns: number;
  /** S_U [columns]. */
  readonly signs: Float32Array;
  /** L and H_{:,k} H_kk⁻¹ [columns/8, columns, 8] of the mixed second moments. */
  readonly feedback: Float32Array;
  readonly gain: Float32Array;
}

export interface MatrixSettings {
  readonly bits: LatticeBits;
  readonly sweeps: number;
  /** ρ; null chooses by the bits. */
  readonly scale: number | null;
}

/** ρ, the size of Gaussian weights at which each book errs least (Tseng et al. 2024). */
const SCALES: Readonly<Record<LatticeBits, number>> = { 2: 1.03, 3: 0.98, 4: 1.03 };

/**
 * The factors of H̃ = M_nᵀ S_U H S_U M_n / mean + λI; its diagonal's mean is 1 before λ is added.
 * @param seen Σ x xᵀ [n, n] of any size, and memory like it that may be used. @param signs S_U [{@link paddedColumns}(n)].
 */
export async function mixInputs(
  cache: ProgramCache,
  { moment, spare }: Readonly<Record<'moment' | 'spare', Float32Array>>,
  signs: Float32Array,
  damping: number,
  signal?: AbortSignal,
): Promise<MixedInputs> {
  const n = Math.sqrt(moment.length);
  const columns = paddedColumns(n);
  const size = [columns, columns] as const;
  const sides = { rows: signs, columns: signs, inverse: false };
  const h = await transformed(cache, resized(moment, [n, n], size), size, sides, signal);
  normalise(h, columns);
  const gain = await blockGain(h, columns, damping, signal);
  const factor = float32(size, spare.length === h.length ? spare : new Float32Array(h.length));
  const t = await reverseFactor(cache, float32(size, h.reverse()), damping, factor, signal);
  return { columns, signs, feedback: await blockFeedback(t, columns, signal), gain };
}

export interface RoundedToLattice {
  /** Ŵ [rows, n]. */
  readonly values: Float32Array;
  /** Points of the mixed weight. */
  readonly points: LatticePoints;
  /** σ, the unit of the codebook. */
  readonly unit: number;
}

/**
 * Rounds W [rows, n] in mixed channels: W̃ = M_mᵀ S_V W S_U M_n in units σ = RMS(W̃) / ρ, and Ŵ from its points.
 * @param signs S_V [rows].
 */
export async function roundMatrix(
  cache: ProgramCache,
  weights: Float32Array,
  { columns, signs: columnSigns, feedback, gain }: MixedInputs,
  signs: Float32Array,
  { bits, sweeps, scale }: MatrixSettings,
  signal?: AbortSignal,
): Promise<RoundedToLattice> {
  const rows = signs.length;
  const given = [rows, weights.length / rows] as const;
  const size = [rows, columns] as const;
  const sides = { rows: signs, columns: columnSigns };
  const padded = resized(weights, given, size);
  const mixed = await transformed(cache, padded, size, { ...sides, inverse: false }, signal);
  const unit = rootMeanSquare(mixed) / (scale ?? SCALES[bits]);
  // A weight of zeros has no size; any unit serves.
  const w = unit > 0 ? mixed.map((value) => value / unit) : mixed;
  const points = await roundToLattice(cache, { w, rows, columns, bits, sweeps, feedback, gain }, signal);
  const rounded = latticeValues(points, bits).map((value) => value * unit);
  const back = await transformed(cache, rounded, size, { ...sides, inverse: true }, signal);
  return { values: resized(back, size, given), points, unit };
}

async function transformed(
  cache: ProgramCache,
  x: Float32Array,
  [rows, columns]: readonly [number, number],
  sides: { readonly rows: Float32Array; readonly columns: Float32Array; readonly inverse: boolean },
  signal?: AbortSignal,
): Promise<Float32Array> {
  const program = await cache.get(TWO_SIDED, { rows, columns, inverse: sides.inverse });
  const tensors = {
    x: float32([rows, columns], x),
    rowSigns: float32([1, rows], sides.rows),
    columnSigns: float32([1, columns], sides.columns),
  };
  return (await program.run(tensors, signal)).y.data;
}

/** H / mean(diag H) in place; the identity for inputs that are all zero. */
function normalise(h: Float32Array, n: number): void {
  let mean = 0;
  for (let i = 0; i < n; i++) mean += h[i * n + i]! / n;
  for (let at = 0; at < h.length; at++) h[at] = mean > 0 ? h[at]! / mean : Number(at % (n + 1) === 0);
}

function rootMeanSquare(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}
