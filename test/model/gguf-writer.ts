/** Writes little GGUF files, value by value from the description of the format. */
import { float32ToFloat16 } from '../../src/formats/float-bits.ts';

/** Number of each type of a value in the file, and how many bytes it takes. */
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, flag: 7, text: 8, u64: 10 } as const;
const LIST = 9;
export type ValueType = keyof typeof VALUE_TYPES;

/** A value with the type it has in the file; a list has that of its elements. */
export type TypedValue = readonly [type: ValueType, value: unknown];

export const TENSOR_TYPES = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  IQ2_XS: 17,
  IQ4_NL: 20,
  IQ4_XS: 23,
  BF16: 30,
} as const;
export type TensorType = keyof typeof TENSOR_TYPES;

export interface WrittenTensor {
  readonly type: TensorType;
  /** Slowest dimension first, as elsewhere in the product. */
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

export interface GgufContents {
  readonly version?: number;
  readonly metadata: Readonly<Record<string, TypedValue>>;
  readonly tensors: Readonly<Record<string, WrittenTensor>>;
  readonly alignment?: number;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function scalar(type: ValueType, value: unknown): Buffer {
  if (type === 'text') return text(value as string);
  if (type === 'flag') return Buffer.of(value ? 1 : 0);
  if (type === 'u64') return u64(value as number);
  if (type === 'f32') return Buffer.from(Float32Array.of(value as number).buffer);
  return type === 'i32' ? Buffer.from(Int32Array.of(value as number).buffer) : u32(value as number);
}

function typedValue([type, value]: TypedValue): Buffer {
  if (!Array.isArray(value)) return Buffer.concat([u32(VALUE_TYPES[type]), scalar(type, value)]);
  const items = value.map((item) => scalar(type, item));
  return Buffer.concat([u32(LIST), u32(VALUE_TYPES[type]), u64(value.length), ...items]);
}

export function ggufBytes({ version = 3, metadata, tensors, alignment = 32 }: GgufContents): Buffer {
  const padded = (length: number): number => Math.ceil(length / alignment) * alignment;
  const entries = Object.entries(tensors);
  const parts = [Buffer.from('GGUF'), u32(version), u64(entries.length), u64(Object.keys(metadata).length)];
  for (const [key, value] of Object.entries(metadata)) parts.push(text(key), typedValue(value));
  let offset = 0;
  for (const [name, { type, dims, bytes }] of entries) {
    const fastestFirst = [...dims].reverse().map(u64);
    parts.push(text(name), u32(dims.length), ...fastestFirst, u32(TENSOR_TYPES[type]), u64(offset));
    offset += padded(bytes.length);
  }
  const header = Buffer.concat(parts);
  const data = entries.map(([, { bytes }]) => Buffer.concat([bytes], padded(bytes.length)));
  return Buffer.concat([Buffer.concat([header], padded(header.length)), ...data]);
}

/** The contents of a quantized block: x = d q + m. */
export interface Block {
  readonly d: number;
  readonly m: number;
  readonly q: readonly number[];
}

function half(value: number): Buffer {
  return Buffer.from(float32ToFloat16(Float32Array.of(value)).buffer);
}

/** One block of 32; q is −128 … 127 for Q8_0, −8 … 7 for Q4_0, 0 … 15 for Q4_1. */
export function packBlock(type: 'Q8_0' | 'Q4_0' | 'Q4_1', { d, m, q }: Block): Buffer {
  if (type === 'Q8_0') return Buffer.concat([half(d), Buffer.from(Int8Array.from(q).buffer)]);
  const shift = type === 'Q4_0' ? 8 : 0;
  const nibbles = Array.from({ length: 16 }, (_, i) => q[i]! + shift + 16 * (q[i + 16]! + shift));
  const start = type === 'Q4_0' ? half(d) : Buffer.concat([half(d), half(m)]);
  return Buffer.concat([start, Buffer.from(nibbles)]);
}

/** Deterministic numbers, 0 … below − 1. */
export function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48271) % 0x7fffffff;
    return state % below;
  };
}

const D = [0.0123, -1.5, 65504, 2 ** -24, 0, 3 * 2 ** -20];
const M = [-0.7, 1e-4, -65504, 2 ** -23, 12.5, 0];

/** Blocks that fill these dimensions, with their values [float32] by the definition of the type. */
export function randomBlocks(
  type: 'Q8_0' | 'Q4_0' | 'Q4_1',
  dims: readonly number[],
  seed = 1,
): { tensor: WrittenTensor; values: number[] } {
  const next = numbers(seed);
  const [least, levels] = { Q8_0: [-128, 256], Q4_0: [-8, 16], Q4_1: [0, 16] }[type] as [number, number];
  const count = dims.reduce((a, b) => a * b, 1) / 32;
  const blocks = Array.from({ length: count }, (_, i) => ({
    d: halfOf(D[i % D.length]!),
    m: type === 'Q4_1' ? halfOf(M[i % M.length]!) : 0,
    q: Array.from({ length: 32 }, () => least + next(levels)),
  }));
  const values = blocks.flatMap(({ d, m, q }) =>
    q.map((level) => Math.fround(type === 'Q4_1' ? d * level + m : d * level)),
  );
  const bytes = Buffer.concat(blocks.map((block) => packBlock(type, block)));
  return { tensor: { type, dims, bytes }, values };
}

/** The nearest float16 of a positive or negative number below 65520, by its definition: 11 bits, no less than 2⁻²⁴. */
export function halfOf(value: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1)));
  const unit = 2 ** (exponent - 10);
  return Math.round(value / unit) * unit;
}
