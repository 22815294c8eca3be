/** Draws tensors and attributes at the edges: empty ones, order 1, special numbers, shapes that do not fit. */
import { Rng } from '../../src/engine/rotation/random.ts';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import type { DType } from '../../src/protocol/tensor.ts';
import type { Operation } from './support.ts';

export type Dims = readonly number[];
export type Numbers = Record<string, number>;
export type Call = Omit<Operation, 'name'>;
export type Drawing = (draw: Draw) => Call;

/** Sizes around the widths of vectors, tiles and blocks. */
const SIZES = [0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 129];
const SPECIAL = [0, -0, 1, Number.NaN, Infinity, -Infinity, 1e-45, -1e-40, 1.2e-38, 3.4e38, -3.4e38];
export const ODD_INTEGERS = [-1, 0, 1, 2, 3, 5, 8, 9, 127, 128, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53)];
export const ODD_NUMBERS = [0, -1, 1e-45, 1e-30, 1e30, Number.NaN, Infinity, -Infinity];

export class Draw {
  readonly #rng: Rng;

  constructor(seed: number) {
    this.#rng = new Rng(seed);
  }

  /** Uniform in [0, 1). */
  real(): number {
    return this.#rng.uint32() / 2 ** 32;
  }

  below(n: number): number {
    return Math.floor(this.real() * n);
  }

  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  chance(p: number): boolean {
    return this.real() < p;
  }

  size(): number {
    return this.one(SIZES);
  }

  /** Up to 9 rows, sometimes none. */
  rows(): number {
    return this.below(10);
  }

  flag(): number {
    return this.below(2);
  }
}

/** A shape that does not fit, one time in twelve. */
export function damaged(draw: Draw, dims: Dims): Dims {
  if (!draw.chance(1 / 12)) return dims;
  const at = draw.below(dims.length + 1);
  return draw.one<() => Dims>(
    [
      () => dims.toSpliced(at, 1),
      () => dims.toSpliced(at, 0, draw.one([0, 1, 2])),
      () => dims.with(Math.min(at, dims.length - 1), draw.size()),
    ].slice(dims.length === 0 ? 1 : 0, dims.length === 0 ? 2 : 3),
  )();
}

export const countOf = (dims: Dims): number => dims.reduce((a, b) => a * b, 1);

/** Ordinary numbers; one tensor in six holds special ones too. */
export function tensor(draw: Draw, wanted: Dims, dtype: DType = 'float32'): ProbeTensor {
  const dims = damaged(draw, wanted);
  const count = countOf(dims);
  if (dtype === 'int64') {
    return { data: BigInt64Array.from({ length: count }, () => BigInt(draw.below(12) - 2)), dims };
  }
  if (dtype === 'int8') return { data: Int8Array.from({ length: count }, () => draw.below(256)), dims };
  if (dtype === 'bfloat16' || dtype === 'float16')
    return { data: Uint16Array.from({ length: count }, () => draw.below(65536)), dims };
  const special = draw.chance(1 / 6);
  const value = () => (special && draw.chance(0.2) ? draw.one(SPECIAL) : 6 * draw.real() - 3);
  return { data: Float32Array.from({ length: count }, value), dims };
}

export const sometimes = (draw: Draw, dims: Dims): ProbeTensor | null =>
  draw.chance(0.6) ? tensor(draw, dims) : null;

export function quantizer(draw: Draw): Numbers {
  const all = { bits: 2 + draw.below(7), symmetric: draw.flag(), include_zero: draw.flag(), clip_ratio: 0.9 };
  if (!draw.chance(0.8)) return { symmetric: draw.flag() };
  return draw.chance(0.3) ? { ...all, lower_ratio: 0.7 } : all;
}

/** A multiple of a group, and the group or 0. */
export function grouped(draw: Draw): { width: number; group: number } {
  const group = draw.size();
  return { width: group * draw.below(4), group: draw.chance(0.3) ? 0 : group };
}

/** The shape of rows, of one to three axes. */
export function rowsShape(draw: Draw, width: number): Dims {
  return draw.one([[width], [draw.rows(), width], [draw.below(3), draw.rows(), width]]);
}
