import { GGMLQuantizationType, GGUFValueType } from '@huggingface/gguf';
import { elementCount } from '../protocol/tensor.ts';
import { writeAll, writeAtomic } from './atomic.ts';
import { GGUF_TYPES, type GgufType } from './gguf-types.ts';

/** A value with the type that it has in the file; a list has that of its elements. */
export type GgufValue =
  | readonly [type: 'text', value: string | readonly string[]]
  | readonly [type: 'flag', value: boolean | readonly boolean[]]
  | readonly [type: 'u32' | 'i32' | 'f32', value: number | readonly number[]];

/** A tensor whose bytes are made when its turn to be written comes. */
export interface WrittenGgufTensor {
  readonly type: GgufType;
  /** The slowest dimension first, as in {@link GgufTensor}. */
  readonly dims: readonly number[];
  load(): Promise<Uint8Array>;
}

const VERSION = 3;
const ALIGNMENT = 32;
const TYPES = {
  text: GGUFValueType.STRING,
  flag: GGUFValueType.BOOL,
  u32: GGUFValueType.UINT32,
  i32: GGUFValueType.INT32,
  f32: GGUFValueType.FLOAT32,
} as const;

/**
 * Writes a little-endian GGUF file of version 3, whole or not at all, with one tensor in memory at a time.
 * @throws UserError `file/unwritable`; RangeError for a tensor of another size than was announced.
 */
export async function writeGguf(
  path: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: Readonly<Record<string, WrittenGgufTensor>>,
): Promise<void> {
  const entries = Object.entries(tensors);
  const parts: Uint8Array[] = [Buffer.from('GGUF'), u32(VERSION), u64(entries.length)];
  parts.push(u64(Object.keys(metadata).length));
  for (const [key, value] of Object.entries(metadata)) parts.push(text(key), ...valueBytes(value));
  let offset = 0;
  for (const [name, { type, dims }] of entries) {
    parts.push(text(name), u32(dims.length), ...[...dims].reverse().map(u64));
    parts.push(u32(GGMLQuantizationType[type]), u64(offset));
    offset += padded(ggufBytes(type, dims));
  }
  const header = Buffer.concat(parts);
  await writeAtomic(path, async (file) => {
    await writeAll(file, filled(header));
    for (const [name, { type, dims, load }] of entries) {
      const bytes = await load();
      const announced = ggufBytes(type, dims);
      if (bytes.length !== announced)
        throw new RangeError(`${name} was announced with ${announced} bytes, got ${bytes.length}`);
      await writeAll(file, filled(bytes));
    }
  });
}

/** Bytes of a tensor; its rows are whole blocks. */
export function ggufBytes(type: GgufType, dims: readonly number[]): number {
  const { blockElements, blockBytes } = GGUF_TYPES[type];
  return (elementCount(dims) / blockElements) * blockBytes;
}

const padded = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

function filled(bytes: Uint8Array): Uint8Array {
  const length = padded(bytes.length);
  if (length === bytes.length) return bytes;
  const all = new Uint8Array(length);
  all.set(bytes);
  return all;
}

function valueBytes([type, value]: GgufValue): Uint8Array[] {
  if (!Array.isArray(value)) return [u32(TYPES[type]), scalar(type, value as string | number | boolean)];
  const items = value as readonly (string | number | boolean)[];
  return [
    u32(GGUFValueType.ARRAY),
    u32(TYPES[type]),
    u64(items.length),
    ...items.map((item) => scalar(type, item)),
  ];
}

function scalar(type: GgufValue[0], value: string | number | boolean): Uint8Array {
  const bytes = Buffer.alloc(4);
  switch (type) {
    case 'text':
      return text(String(value));
    case 'flag':
      return Uint8Array.of(value === true ? 1 : 0);
    case 'u32':
      return u32(Number(value));
    case 'i32':
      bytes.writeInt32LE(Number(value));
      return bytes;
    case 'f32':
      bytes.writeFloatLE(Number(value));
      return bytes;
  }
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}
