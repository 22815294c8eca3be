import type { DType, HostTensor } from '../protocol/tensor.ts';
import { elementCount, float32 } from '../protocol/tensor.ts';
import type { DecodeBlock } from './gguf-blocks.ts';
import {
  BLOCK,
  decodeIQ4_NL,
  decodeQ4_0,
  decodeQ4_1,
  decodeQ5_0,
  decodeQ5_1,
  decodeQ8_0,
} from './gguf-blocks.ts';
import {
  decodeIQ4_XS,
  decodeQ2_K,
  decodeQ3_K,
  decodeQ4_K,
  decodeQ5_K,
  decodeQ6_K,
  K_BLOCK,
} from './gguf-k-blocks.ts';
import { readBytes, readTensor } from './tensor-io.ts';

/** Elements that are read at once, 1 MiB of float32: a tensor's bytes are never in memory twice. */
const CHUNK_ELEMENTS = 1 << 18;

interface PlainType {
  readonly blockElements: 1;
  readonly blockBytes: number;
  readonly dtype: DType;
}

interface QuantizedType {
  readonly blockElements: number;
  readonly blockBytes: number;
  readonly decode: DecodeBlock;
}

const block = (blockBytes: number, decode: DecodeBlock): QuantizedType => ({
  blockElements: BLOCK,
  blockBytes,
  decode,
});

const kBlock = (blockBytes: number, decode: DecodeBlock): QuantizedType => ({
  blockElements: K_BLOCK,
  blockBytes,
  decode,
});

/** The supported tensor types. Quantized blocks hold neighbours of a row. */
export const GGUF_TYPES = {
  F32: { blockElements: 1, blockBytes: 4, dtype: 'float32' },
  F16: { blockElements: 1, blockBytes: 2, dtype: 'float16' },
  BF16: { blockElements: 1, blockBytes: 2, dtype: 'bfloat16' },
  Q8_0: block(34, decodeQ8_0),
  Q4_0: block(18, decodeQ4_0),
  Q4_1: block(20, decodeQ4_1),
  Q5_0: block(22, decodeQ5_0),
  Q5_1: block(24, decodeQ5_1),
  IQ4_NL: block(18, decodeIQ4_NL),
  Q2_K: kBlock(84, decodeQ2_K),
  Q3_K: kBlock(110, decodeQ3_K),
  Q4_K: kBlock(144, decodeQ4_K),
  Q5_K: kBlock(176, decodeQ5_K),
  Q6_K: kBlock(210, decodeQ6_K),
  IQ4_XS: kBlock(136, decodeIQ4_XS),
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
 * Reads a tensor. F32, F16 and BF16 keep their bits; quantized types become float32. That holds products of scales and
 * levels exactly (at most 24 bits), and rounds once where a minimum is added.
 */
export function readGgufTensor(tensor: GgufTensor): HostTensor {
  const { type, dims, path, byteOffset, byteLength } = tensor;
  const known = GGUF_TYPES[type];
  if ('dtype' in known)
    return readTensor({ kind: 'file', dtype: known.dtype, dims, path, byteOffset, byteLength });
  const { blockElements, blockBytes, decode } = known;
  const out = new Float32Array(elementCount(dims));
  const chunkBytes = (CHUNK_ELEMENTS / blockElements) * blockBytes;
  for (let start = 0; start < byteLength; start += chunkBytes) {
    const length = Math.min(chunkBytes, byteLength - start);
    const bytes = readBytes(path, byteOffset + start, length);
    const first = (start / blockBytes) * blockElements;
    for (let at = 0; at * blockBytes < length; at++)
      decode(bytes, at * blockBytes, out, first + at * blockElements);
  }
  return float32(dims, out);
}
