import type { DType, HostTensor } from '../protocol/tensor.ts';
import { elementCount, float32 } from '../protocol/tensor.ts';
import { float16ToFloat32 } from './float-bits.ts';
import { readBytes, readTensor } from './tensor-io.ts';

/** Every quantized type here has blocks of this many elements. */
const BLOCK = 32;
/** Blocks that are read at once, 1 MiB of float32: a tensor's bytes are never in memory twice. */
const CHUNK_BLOCKS = 8192;

interface PlainType {
  readonly blockElements: 1;
  readonly blockBytes: number;
  readonly dtype: DType;
}

interface QuantizedType {
  readonly blockElements: typeof BLOCK;
  readonly blockBytes: number;
  /** Writes the values of one block, whose first byte is `bytes[start]`, into `out` from `at` on. */
  readonly decode: (bytes: Uint8Array, start: number, out: Float32Array, at: number) => void;
}

/** The supported tensor types. Quantized blocks hold 32 neighbours of a row; d and m are float16. */
export const GGUF_TYPES = {
  F32: { blockElements: 1, blockBytes: 4, dtype: 'float32' },
  F16: { blockElements: 1, blockBytes: 2, dtype: 'float16' },
  BF16: { blockElements: 1, blockBytes: 2, dtype: 'bfloat16' },
  Q8_0: { blockElements: BLOCK, blockBytes: 34, decode: decodeQ8_0 },
  Q4_0: { blockElements: BLOCK, blockBytes: 18, decode: decodeQ4_0 },
  Q4_1: { blockElements: BLOCK, blockBytes: 20, decode: decodeQ4_1 },
} as const satisfies Record<string, PlainType | QuantizedType>;

export type GgufType = keyof typeof GGUF_TYPES;

/** A tensor of a GGUF file; its data stays there. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgufType;
  /** The slowest dimension comes first, the opposite of the file's order: [out, in] for a projection. */
  readonly dims: readonly number[];
  readonly path: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** Returns the dtype of the type's values: its own for F32, F16 and BF16, float32 for quantized types. */
export function ggufDType(type: GgufType): DType {
  const known = GGUF_TYPES[type];
  return 'dtype' in known ? known.dtype : 'float32';
}

export function isQuantized(type: GgufType): boolean {
  return 'decode' in GGUF_TYPES[type];
}

/**
 * Reads a tensor. F32, F16 and BF16 keep their bits; quantized types become float32. That holds d·q exactly (11 bits
 * times at most 8) and rounds d·q + m once.
 */
export function readGgufTensor(tensor: GgufTensor): HostTensor {
  const { type, dims, path, byteOffset, byteLength } = tensor;
  const known = GGUF_TYPES[type];
  if ('dtype' in known)
    return readTensor({ kind: 'file', dtype: known.dtype, dims, path, byteOffset, byteLength });
  const out = new Float32Array(elementCount(dims));
  for (let start = 0; start < byteLength; start += CHUNK_BLOCKS * known.blockBytes) {
    const length = Math.min(CHUNK_BLOCKS * known.blockBytes, byteLength - start);
    const bytes = readBytes(path, byteOffset + start, length);
    const first = (start / known.blockBytes) * BLOCK;
    for (let block = 0; block * known.blockBytes < length; block++)
      known.decode(bytes, block * known.blockBytes, out, first + block * BLOCK);
  }
  return float32(dims, out);
}

function half(bytes: Uint8Array, at: number): number {
  return float16ToFloat32(Uint16Array.of(bytes[at]! | (bytes[at + 1]! << 8)))[0]!;
}

/** x_i = d q_i, stored as float16 d and 32 int8 q. */
function decodeQ8_0(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  for (let i = 0; i < BLOCK; i++) out[at + i] = d * ((bytes[start + 2 + i]! << 24) >> 24);
}

/** x_i = d (q_i − 8), stored as float16 d and 16 bytes: low nibbles are elements 0–15, high nibbles 16–31. */
function decodeQ4_0(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  for (let i = 0; i < BLOCK / 2; i++) {
    const pair = bytes[start + 2 + i]!;
    out[at + i] = d * ((pair & 15) - 8);
    out[at + BLOCK / 2 + i] = d * ((pair >> 4) - 8);
  }
}

/** x_i = d q_i + m, stored as float16 d and m, then nibbles as in Q4_0. */
function decodeQ4_1(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  const m = half(bytes, start + 2);
  for (let i = 0; i < BLOCK / 2; i++) {
    const pair = bytes[start + 4 + i]!;
    out[at + i] = d * (pair & 15) + m;
    out[at + BLOCK / 2 + i] = d * (pair >> 4) + m;
  }
}
