import { float32ToBfloat16, float32ToFloat16 } from '../../formats/float-bits.ts';
import { tableParts } from '../../formats/tensor-io.ts';
import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import type { FloatType } from '../../protocol/export-formats.ts';
import { allocate, elementCount, type HostTensor } from '../../protocol/tensor.ts';

/** Numbers in a type, rounded to nearest. @throws UserError `export/not-finite` where float16 has no such number. */
export function floats(
  dtype: FloatType,
  dims: readonly number[],
  values: Float32Array,
  what: string,
): HostTensor {
  if (dtype === 'float32') return { kind: 'host', dtype, dims, data: values };
  const data =
    dtype === 'bfloat16' ? float32ToBfloat16(values) : expectFinite(float32ToFloat16(values), what);
  return { kind: 'host', dtype, dims, data };
}

const NOT_FINITE = 0x7c00;

/** @param bits of float16 numbers. */
export function expectFinite(bits: Uint16Array, what: string): Uint16Array {
  if (!bits.some((each) => (each & NOT_FINITE) === NOT_FINITE)) return bits;
  throw new UserError(
    'export/not-finite',
    `${what} has numbers that float16 cannot hold (above 65504).`,
    'Choose another type (--dtype bfloat16, or --embeddings and --head 32 in a GGUF file).',
  );
}

/** A table of tokens in a type, made part by part. @param rowsOf rows first … first + count − 1. */
export async function tableOf(
  dtype: FloatType,
  [rows, columns]: readonly [number, number],
  rowsOf: (first: number, count: number) => Promise<Float32Array>,
  what: string,
  signal?: AbortSignal,
): Promise<HostTensor> {
  const dims = [rows, columns];
  const data = allocate(dtype, elementCount(dims));
  for (const { first, count } of tableParts(rows)) {
    throwIfCancelled(signal);
    const part = floats(dtype, [count, columns], await rowsOf(first, count), what);
    // Both are of this type.
    (data as Uint16Array).set(part.data as Uint16Array, first * columns);
  }
  return { kind: 'host', dtype, dims, data };
}
