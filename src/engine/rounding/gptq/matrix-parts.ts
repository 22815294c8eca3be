import { float32, type HostTensor } from '../../../protocol/tensor.ts';
import type { Reals } from '../../graph/program.ts';

/** Rows `from` … of a matrix with so many columns, in its memory. */
export function rowsOf(matrix: Float32Array, columns: number, from: number, count: number): Reals {
  return float32([count, columns], matrix.subarray(from * columns, (from + count) * columns));
}

/** A copy of columns `from` … of a matrix. */
export function columnsOf({ data, dims }: HostTensor<Float32Array>, from: number, count: number): Reals {
  const [rows, columns] = dims as [number, number];
  const part = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++)
    part.set(data.subarray(row * columns + from, row * columns + from + count), row * count);
  return float32([rows, count], part);
}
