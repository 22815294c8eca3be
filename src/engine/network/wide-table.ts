import { fileRows, tableParts, toFloat32 } from '../../formats/tensor-io.ts';
import { type FileTensor, float32 } from '../../protocol/tensor.ts';
import type { Reals } from '../graph/program.ts';

/** A table [rows, width] in float32; only some of its rows are in memory as they are stored. */
export function wideTable(table: FileTensor): Reals {
  const [rows = 0, width = 0] = table.dims;
  const wide = float32(table.dims, new Float32Array(rows * width));
  for (const { first, count } of tableParts(rows))
    wide.data.set(toFloat32(fileRows(table, first, count)), first * width);
  return wide;
}
