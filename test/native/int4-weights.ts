/** Weights of 4 bits for tests, packed by the operator. */
import assert from 'node:assert/strict';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { addon, type Operation, random } from './support.ts';

/** A weight on its grid, s (c − z); without zero points, codes are signed. */
export interface Weight {
  readonly rows: number;
  readonly columns: number;
  readonly group: number;
  readonly codes: Int8Array;
  readonly scales: Float32Array;
  readonly zeros: Float32Array | null;
  /** Scales of a token, each for as many groups; 1 where absent. */
  readonly spans?: number;
}

export interface Packed {
  readonly codes: ProbeTensor;
  readonly grid: ProbeTensor;
}

export interface Quantizer {
  readonly bits: number;
  readonly symmetric: 0 | 1;
  readonly clip_ratio: number;
  /** `clip_ratio` where absent. */
  readonly lower_ratio?: number;
  /** 1 where absent. */
  readonly include_zero?: 0 | 1;
}

export const PANEL = 16;
export function weightOf(rows: number, columns: number, group: number, unsigned: boolean): Weight {
  const width = group || columns;
  const count = rows * (columns / width);
  const lowest = unsigned ? 0 : -8;
  return {
    rows,
    columns,
    group: width,
    codes: Int8Array.from(random(rows * columns, 3, 8), (value) => Math.floor(value) + 8 + lowest),
    scales: random(count, 4).map((value) => Math.abs(value) + 0.01),
    zeros: unsigned ? random(count, 5, 8).map((value) => Math.floor(value) + 8) : null,
  };
}

export const layoutOf = ({ rows, columns, group, spans = 1 }: Weight) => {
  const part = Math.min(group, columns / spans);
  const [groups, parts, padded] = [columns / group, columns / part, Math.ceil(part / 32) * 32];
  return { panels: Math.ceil(rows / PANEL), groups, parts, part, padded, blocks: (parts * padded) / 8 };
};

export function pack(weight: Weight, instructionSet: string, threads = 1): Packed {
  const { rows, columns, codes, scales, zeros, spans = 1 } = weight;
  const { panels, groups, blocks } = layoutOf(weight);
  const packed = { data: new Int8Array(panels * blocks * 64).fill(0x5a), dims: [panels, blocks, 64] };
  const gridRows = spans + groups * (zeros ? 2 : 1);
  const grid = {
    data: new Float32Array(panels * gridRows * PANEL).fill(Number.NaN),
    dims: [panels, gridRows, PANEL],
  };
  const inputs = [
    { data: codes, dims: [rows, columns] },
    { data: scales, dims: [rows, groups] },
    zeros && { data: zeros, dims: [rows, groups] },
  ];
  addon!.runOperator('PackInt4', instructionSet, { spans }, inputs, [packed.data, grid.data], threads, 1);
  return { codes: packed, grid };
}

export const matrix = (data: Float32Array, columns: number): ProbeTensor => ({
  data,
  dims: [data.length / columns, columns],
});

export function product(x: Float32Array, weight: Weight, quantizer: Quantizer): Operation {
  const { rows, columns, group, zeros, spans = 1 } = weight;
  const { codes, grid } = pack(weight, 'portable');
  const activation_group = spans === 1 ? 0 : columns / spans;
  return {
    name: 'Int4MatMul',
    attributes: {
      ...{ ...quantizer, rows, activation_group },
      ...{ group: group === columns ? 0 : group, zero_points: zeros ? 1 : 0 },
    },
    inputs: [matrix(x, columns), codes, grid],
    outputs: [(x.length / columns) * rows],
  };
}

/** Ŵ in float32, as the engine has it. */
export function multiples({ rows, columns, group, codes, scales, zeros }: Weight): Float32Array {
  const groups = columns / group;
  return Float32Array.from(codes, (code, i) => {
    const at = Math.floor(i / columns) * groups + Math.floor((i % columns) / group);
    assert.ok(at < rows * groups);
    return scales[at]! * (code - (zeros?.[at] ?? 0));
  });
}
