import type { GGUFTypedMetadata, MetadataValue } from '@huggingface/gguf';
import { GGUFValueType } from '@huggingface/gguf';

const WIDTH: Readonly<Partial<Record<GGUFValueType, number>>> = {
  [GGUFValueType.UINT8]: 1,
  [GGUFValueType.INT8]: 1,
  [GGUFValueType.BOOL]: 1,
  [GGUFValueType.UINT16]: 2,
  [GGUFValueType.INT16]: 2,
  [GGUFValueType.UINT32]: 4,
  [GGUFValueType.INT32]: 4,
  [GGUFValueType.FLOAT32]: 4,
  [GGUFValueType.UINT64]: 8,
  [GGUFValueType.INT64]: 8,
  [GGUFValueType.FLOAT64]: 8,
};

/** The parser adds these keys from the fixed part of the header; they are not in the list of key-value pairs. */
const ADDED = ['version', 'tensor_count', 'kv_count'];

interface TypedValue {
  readonly value: MetadataValue;
  readonly type: GGUFValueType;
  /** The type of an array's elements. */
  readonly subType?: GGUFValueType;
}

/** Counts the bytes of the key-value pairs in a file of version 2 or 3. NaN for nested arrays, which no model has. */
export function metadataBytes(metadata: GGUFTypedMetadata): number {
  const entries: [string, TypedValue][] = Object.entries(metadata as Record<string, TypedValue>);
  let bytes = 0;
  for (const [key, { value, type, subType }] of entries)
    if (!ADDED.includes(key)) bytes += textBytes(key) + 4 + valueBytes(value, type, subType);
  return bytes;
}

function valueBytes(value: MetadataValue, type: GGUFValueType, subType?: GGUFValueType): number {
  if (typeof value === 'string') return textBytes(value);
  if (!Array.isArray(value)) return WIDTH[type] ?? Number.NaN;
  // The type of the elements (4 bytes) and their number (8) come first.
  let bytes = 4 + 8;
  for (const item of value)
    bytes += typeof item === 'string' ? textBytes(item) : (WIDTH[subType!] ?? Number.NaN);
  return bytes;
}

function textBytes(text: string): number {
  return 8 + Buffer.byteLength(text);
}
