import { bytesOf } from '../../formats/tensor-io.ts';
import type { HostTensor } from '../../protocol/tensor.ts';
import { allocate, elementCount } from '../../protocol/tensor.ts';

/**
 * Reorders the rows of q and k projections [heads·headDim, in], and of their biases [heads·headDim], from interleaved
 * rotary pairs to halves. Interleaved order rotates rows (2j, 2j+1) of a head as a pair; Hugging Face rotates
 * (j, j + headDim/2). So row 2j moves to j and row 2j+1 to j + headDim/2 in every head. q·k is unchanged since both are
 * permuted alike.
 */
export function pairByHalves<T extends HostTensor>(tensor: T, headDim: number): HostTensor<T['data']> {
  const { dtype, dims } = tensor;
  const rows = dims[0]!;
  const data = allocate(dtype, elementCount(dims)) as T['data'];
  const out: HostTensor<T['data']> = { kind: 'host', dtype, dims, data };
  const [source, target] = [bytesOf(tensor), bytesOf(out)];
  const width = source.length / rows;
  for (let row = 0; row < rows; row++) {
    const within = row % headDim;
    const to = row - within + (within % 2) * (headDim / 2) + Math.floor(within / 2);
    target.set(source.subarray(row * width, (row + 1) * width), to * width);
  }
  return out;
}

/** The reverse of {@link pairByHalves} for rows of bytes: row j of a head moves to 2j, row j + headDim/2 to 2j + 1. */
export function pairByNeighbours(bytes: Uint8Array, rows: number, headDim: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  const width = bytes.length / rows;
  const half = headDim / 2;
  for (let row = 0; row < rows; row++) {
    const within = row % headDim;
    const to = row - within + 2 * (within % half) + Math.floor(within / half);
    out.set(bytes.subarray(row * width, (row + 1) * width), to * width);
  }
  return out;
}
