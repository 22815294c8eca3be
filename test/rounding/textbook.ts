/** GPTQ as its paper has it, column by column in double precision, and problems for it. */
import type { RowsToRound } from '../../src/engine/rounding/gptq/round-in-loops.ts';
import { noise } from '../helpers/tiny-network.ts';

export const DAMPING = 0.01;

/** Σ x xᵀ [n, n] of samples whose channels are correlated. */
export function secondMoment(n: number, samples: number, seed: number): Float32Array {
  const random = noise(seed);
  const mix = Float64Array.from({ length: n * n }, random);
  const h = new Float64Array(n * n);
  for (let sample = 0; sample < samples; sample++) {
    const source = Float64Array.from({ length: n }, (_, i) => random() / (1 + i));
    const x = Array.from({ length: n }, (_, i) => source.reduce((sum, s, k) => sum + s * mix[i * n + k]!, 0));
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) h[i * n + j]! += x[i]! * x[j]!;
  }
  return Float32Array.from(h);
}

export function weightsOf(
  rows: number,
  columns: number,
  bits: number,
  groups: number,
  zero: number,
): RowsToRound {
  const random = noise(rows + columns);
  return {
    rows,
    columns,
    bits,
    w: Float32Array.from({ length: rows * columns }, random),
    scale: Float32Array.from({ length: rows * groups }, () => (1.5 + 0.5 * random()) / 2 ** bits),
    zero: new Float32Array(rows * groups).fill(zero),
  };
}

/** H + λI in double precision. */
export function damped(h: Float32Array, n: number): Float64Array {
  const result = Float64Array.from(h);
  let trace = 0;
  for (let i = 0; i < n; i++) trace += result[i * n + i]!;
  for (let i = 0; i < n; i++) result[i * n + i]! += (DAMPING * trace) / n;
  return result;
}

/** A⁻¹ by Gauss-Jordan elimination; A is positive definite, so no pivot is zero. */
export function inverse(a: Float64Array, n: number): Float64Array {
  const left = Float64Array.from(a);
  const right = new Float64Array(n * n);
  for (let i = 0; i < n; i++) right[i * n + i] = 1;
  for (let pivot = 0; pivot < n; pivot++) {
    const divisor = left[pivot * n + pivot]!;
    for (let i = 0; i < n; i++) {
      left[pivot * n + i]! /= divisor;
      right[pivot * n + i]! /= divisor;
    }
    for (let row = 0; row < n; row++) {
      const factor = left[row * n + pivot]!;
      if (row === pivot || factor === 0) continue;
      for (let i = 0; i < n; i++) {
        left[row * n + i]! -= factor * left[pivot * n + i]!;
        right[row * n + i]! -= factor * right[pivot * n + i]!;
      }
    }
  }
  return right;
}

function roundEven(x: number): number {
  const nearest = Math.round(x);
  return Math.abs(x - Math.trunc(x)) === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

/** Scale and zero point of a row. */
export interface RowGrid {
  readonly scale: number;
  readonly zero: number;
}

export interface TextbookOptions {
  /** The columns in the order in which they are rounded. */
  readonly order?: ArrayLike<number>;
  /** The grid of a row's group, from its weights when its first column is reached; absent for the grids given. */
  readonly gridOf?: (weights: Float64Array) => RowGrid;
}

/**
 * Frantar et al. 2023, algorithm 1, without its blocks: after column j is rounded, the columns that are left are moved
 * by −(error / [H⁻¹]_jj) [H⁻¹]_j,: and j is taken out of H⁻¹ by one step of elimination.
 */
export function textbook(
  { w, rows, columns, bits, scale, zero }: RowsToRound,
  h: Float64Array,
  { order = Array.from({ length: columns }, (_, j) => j), gridOf }: TextbookOptions = {},
): Int8Array {
  const left = Float64Array.from(w);
  const hinv = inverse(h, columns);
  const codes = new Int8Array(rows * columns);
  const groups = scale.length / rows;
  const size = columns / groups;
  const grids = Array.from(scale, (s, index): RowGrid => ({ scale: s, zero: zero[index]! }));
  const begun = new Set<number>();
  for (let step = 0; step < columns; step++) {
    const j = order[step]!;
    const rest = Array.from({ length: columns - step }, (_, i) => order[step + i]!);
    const diagonal = hinv[j * columns + j]!;
    for (let row = 0; row < rows; row++) {
      const first = Math.floor(j / size) * size;
      const group = row * groups + first / size;
      if (gridOf && !begun.has(group))
        grids[group] = gridOf(left.slice(row * columns + first, row * columns + first + size));
      begun.add(group);
      const { scale: s, zero: z } = grids[group]!;
      const at = row * columns + j;
      const code = roundEven(left[at]! / s) + z;
      codes[at] = Math.min(Math.max(code, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1);
      const error = (left[at]! - s * (codes[at]! - z)) / diagonal;
      for (const k of rest) left[row * columns + k]! -= error * hinv[j * columns + k]!;
    }
    for (const a of rest.slice(1)) {
      const factor = hinv[a * columns + j]! / diagonal;
      for (const b of rest.slice(1)) hinv[a * columns + b]! -= factor * hinv[j * columns + b]!;
    }
  }
  return codes;
}
