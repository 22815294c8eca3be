import { UserError } from '../../protocol/errors.ts';
import type { GridMatrix } from '../network/rounded-weights.ts';

/** A matrix as MatMulNBits takes it: (q − z) s, with one scale and zero point for each block of columns of a row. */
export interface BlockWeight {
  readonly bits: 4 | 8;
  readonly block: number;
  readonly rows: number;
  readonly columns: number;
  /** Blocks of a row; the last one may be longer than the row. */
  readonly blocks: number;
  /** q [rows, blocks, block·bits/8]; at 4 bits two in a byte, the first in the lower half. */
  readonly codes: Uint8Array;
  /** s [rows, blocks]. */
  readonly scales: Float32Array;
  /**
   * z: null for the middle of the codes; bytes where these can hold them, [rows, blocks·bits/8] rounded up; else numbers
   * [rows, blocks], with which ONNX Runtime leaves activations as they are.
   */
  readonly zeros: Uint8Array | Float32Array | null;
}

/** ONNX Runtime has kernels for blocks of these columns. Longer ones have fewer scales and are faster. */
const BLOCKS = [128, 64, 32, 16] as const;
/** Where none of them fits a row, the last block of this size is filled up. */
const FILLED_BLOCK = 32;

/**
 * Columns of a block for rows of which `group` consecutive columns share a scale. A scale is repeated where a block is
 * shorter. @throws UserError `export/group-size` where no block fits into a group.
 */
export function blockOf(columns: number, group: number): number {
  const fits = BLOCKS.find((block) => group % block === 0 && (block > 16 || group < columns));
  if (fits !== undefined) return fits;
  if (group === columns) return FILLED_BLOCK;
  throw new UserError(
    'export/group-size',
    `The weights share a scale in groups of ${group} (quantization.weights.groupSize); MatMulNBits has blocks of ${[...BLOCKS].reverse().join(', ')} columns, none of which divides ${group}.`,
    'Make a run with a multiple of 16 as groupSize, or with null for one scale per row.',
  );
}

/** Values that a byte holds, or half of one. */
export const storageBits = (codeBits: number): 4 | 8 => (codeBits <= 4 ? 4 : 8);

/**
 * The same numbers s (c − z), in blocks.
 * @param what names the matrix in messages.
 * @throws UserError `export/group-size`, `export/zero-point`.
 */
export function blockWeight(matrix: GridMatrix, codeBits: number, what: string): BlockWeight {
  const { rows, columns, codes, scale, zero } = matrix;
  const bits = storageBits(codeBits);
  const groups = scale.length / rows;
  const block = blockOf(columns, columns / groups);
  const blocks = Math.ceil(columns / block);
  const middle = 2 ** (bits - 1);
  const stored = new Uint8Array((rows * blocks * block * bits) / 8);
  const [scales, zeros] = [new Float32Array(rows * blocks), new Float32Array(rows * blocks)];
  for (let row = 0; row < rows; row++) {
    for (let b = 0; b < blocks; b++) {
      const group = row * groups + Math.floor((b * block * groups) / columns);
      scales[row * blocks + b] = scale[group]!;
      zeros[row * blocks + b] = zero[group]! + middle;
    }
    const [from, to] = [row * columns, row * blocks * block];
    if (bits === 8) for (let i = 0; i < columns; i++) stored[to + i] = codes[from + i]! + middle;
    else
      for (let i = 0; i < columns; i++)
        stored[(to + i) >> 1]! |= (codes[from + i]! + middle) << (4 * (i & 1));
  }
  return {
    ...{ bits, block, rows, columns, blocks, scales },
    codes: stored,
    zeros: storedZeros(zeros, { bits, rows, blocks, what }),
  };
}

interface ZeroPlace {
  readonly bits: 4 | 8;
  readonly rows: number;
  readonly blocks: number;
  readonly what: string;
}

function storedZeros(zeros: Float32Array, place: ZeroPlace): BlockWeight['zeros'] {
  const { bits, rows, blocks, what } = place;
  const top = 2 ** bits - 1;
  if (zeros.every((zero) => zero === 2 ** (bits - 1))) return null;
  const outside = zeros.find((zero) => zero < 0 || zero > top || !Number.isInteger(zero));
  if (outside === undefined) return packRows(Uint8Array.from(zeros), { bits, rows, columns: blocks });
  if (bits === 4) return zeros;
  throw new UserError(
    'export/zero-point',
    `${what} has a zero point of ${outside} among its 8-bit codes 0 … ${top}: a group of its weights lies far from 0. ONNX Runtime has no 8-bit product for such weights.`,
    'Make a run with symmetric weights, or with one scale per row.',
  );
}

/** Codes [rows, columns] of a byte each as rows of bytes: at 4 bits two in a byte, the first in the lower half. */
export function packRows(
  codes: Uint8Array,
  size: { readonly bits: 4 | 8; readonly rows: number; readonly columns: number },
): Uint8Array {
  const { bits, rows, columns } = size;
  if (bits === 8) return codes;
  const width = Math.ceil(columns / 2);
  const packed = new Uint8Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++)
      packed[row * width + (i >> 1)]! |= codes[row * columns + i]! << (4 * (i & 1));
  return packed;
}

/**
 * Rounds rows to nearest on symmetric grids, one for each block of columns: s = max|w| / (2^{b−1} − 1).
 * @param values [rows, columns].
 */
export function roundedRows(values: Float32Array, columns: number, bits: 4 | 8): GridMatrix {
  const rows = values.length / columns;
  const block = blockOf(columns, columns);
  const blocks = Math.ceil(columns / block);
  // A row of whole groups is needed: a block that reaches beyond it has a group of its own.
  const whole = columns % block === 0;
  const groups = whole ? blocks : 1;
  const width = columns / groups;
  const top = 2 ** (bits - 1) - 1;
  const codes = new Int8Array(values.length);
  const scale = new Float32Array(rows * groups);
  for (let group = 0; group < scale.length; group++) {
    const part = values.subarray(group * width, (group + 1) * width);
    const largest = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const step = Math.fround((largest || 1) / top);
    scale[group] = step;
    for (let i = 0; i < width; i++) codes[group * width + i] = Math.round(part[i]! / step);
  }
  return { rows, columns, codes, scale, zero: new Float32Array(scale.length) };
}
