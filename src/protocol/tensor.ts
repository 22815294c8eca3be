/** Tensors as every part of the product passes them: in memory, or still in a file. */

export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int8'
  | 'uint8'
  | 'bool';

/** float16 and bfloat16 travel as their raw 16 bits in a Uint16Array. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int8Array
  | Uint8Array;

/** A dense row-major tensor in JavaScript memory. */
export interface HostTensor<D extends TensorData = TensorData> {
  readonly kind: 'host';
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: D;
}

/** A dense row-major little-endian tensor that stays in its file; the runtime maps (or reads) it when it is bound. */
export interface FileTensor {
  readonly kind: 'file';
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly path: string;
  /** Bytes from the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export type Tensor = HostTensor | FileTensor;

export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** Product of the dimensions; 1 for a scalar. */
export function elementCount(dims: readonly number[]): number {
  return dims.reduce((count, dim) => count * dim, 1);
}

export function float32(dims: readonly number[], data: Float32Array): HostTensor<Float32Array> {
  return { kind: 'host', dtype: 'float32', dims, data };
}

export function int64(dims: readonly number[], data: BigInt64Array): HostTensor<BigInt64Array> {
  return { kind: 'host', dtype: 'int64', dims, data };
}

/** A new zeroed array for a tensor of this type. */
export function allocate(dtype: DType, count: number): TensorData {
  switch (dtype) {
    case 'float32':
      return new Float32Array(count);
    case 'float64':
      return new Float64Array(count);
    case 'float16':
    case 'bfloat16':
      return new Uint16Array(count);
    case 'int64':
      return new BigInt64Array(count);
    case 'int32':
      return new Int32Array(count);
    case 'int8':
      return new Int8Array(count);
    case 'uint8':
    case 'bool':
      return new Uint8Array(count);
  }
}

/** A new tensor of zeros in memory. */
export function zeros(dtype: DType, dims: readonly number[]): HostTensor {
  return { kind: 'host', dtype, dims, data: allocate(dtype, elementCount(dims)) };
}
