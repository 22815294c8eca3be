import { closeSync, fstatSync, openSync } from 'node:fs';
import type { GGUFParseOutput, GGUFTensorInfo, GGUFTypedMetadata } from '@huggingface/gguf';
import { GGMLQuantizationType, gguf } from '@huggingface/gguf';
import { readingNow } from '../disk/faults.ts';
import { expectKind } from '../disk/file-kind.ts';
import { messageOf, UserError } from '../protocol/errors.ts';
import { metadataBytes } from './gguf-metadata-bytes.ts';
import type { GgufTensor, GgufType } from './gguf-types.ts';
import { GGUF_TYPES } from './gguf-types.ts';
import { elementCountIn } from './sizes.ts';
import { readFully } from './tensor-io.ts';

export type { GgufTensor, GgufType } from './gguf-types.ts';

/** The contents of a GGUF file; the tensors' data stays in the file. */
export interface GgufFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** The parser gives the values as numbers, bigints (64-bit), booleans, texts and arrays of these. */
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** The header begins with magic, version, number of tensors and number of key-value pairs. */
const FIXED_BYTES = 24;
/** The shortest description of a tensor: no name, no dimensions, type and offset. */
const LEAST_TENSOR_BYTES = 24n;
/** The shortest key-value pair: no key, type, a value of one byte. */
const LEAST_PAIR_BYTES = 13n;
/** The largest models have some thousand tensors. */
const MAX_TENSORS = 100_000n;
/** llama.cpp's own limit. */
const MAX_RANK = 4;
const DAMAGED = 'The file is damaged or incomplete: copy or download it again.';
const CONVERT_AGAIN = 'Convert the model again with a current version of llama.cpp.';

type Parsed = GGUFParseOutput & { typedMetadata: GGUFTypedMetadata };

/**
 * Reads the header of a little-endian GGUF file of version 2 or 3 and checks it against the file's size. It checks
 * types, shapes and byte ranges of all tensors, and that no text of the metadata was lost.
 * @throws UserError `gguf/…` naming the file, the tensor, what was found and what is allowed.
 */
export async function readGguf(path: string): Promise<GgufFile> {
  const sizeBytes = probe(path);
  const parsed = await parse(path);
  const headerBytes = parsed.tensorInfoByteRange[1];
  // The parser reads zeros behind the end of a file.
  if (headerBytes > sizeBytes)
    throw new UserError(
      'gguf/truncated',
      `${path}: the header needs ${headerBytes} bytes but the file has ${sizeBytes}.`,
      DAMAGED,
    );
  checkTexts(path, parsed);
  const metadata = new Map(
    Object.entries(parsed.typedMetadata).map(([key, { value }]) => [key, value as unknown]),
  );
  return { path, sizeBytes, metadata, tensors: readTensors(path, sizeBytes, parsed) };
}

/** Checks magic, version and byte order. @returns the file's size. */
function probe(path: string): number {
  const { bytes, sizeBytes } = readStart(path);
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== 'GGUF')
    throw new UserError(
      'gguf/magic',
      `${path} is not a GGUF file: it does not begin with "GGUF".`,
      'Check the path.',
    );
  if (sizeBytes < FIXED_BYTES)
    throw new UserError('gguf/truncated', `${path}: ${sizeBytes} bytes are not a GGUF header.`, DAMAGED);
  const view = new DataView(bytes.buffer);
  const version = view.getUint32(4, true);
  // A small number read in the wrong byte order has its lower half empty.
  if ((version & 0xffff) === 0)
    throw new UserError(
      'gguf/big-endian',
      `${path} is a big-endian GGUF file (version ${view.getUint32(4)}); only little-endian ones are read.`,
      'Use the little-endian file of the same model.',
    );
  if (version !== 2 && version !== 3)
    throw new UserError(
      'gguf/version',
      `${path} is a GGUF file of version ${version}; versions 2 and 3 are read.`,
      version === 1 ? CONVERT_AGAIN : 'A newer version of SpinQuant Lab may read it.',
    );
  checkCounts(path, view, sizeBytes);
  return sizeBytes;
}

/** The parser believes these numbers, up to some millions of objects. */
function checkCounts(path: string, view: DataView, sizeBytes: number): void {
  const [tensors, pairs] = [view.getBigUint64(8, true), view.getBigUint64(16, true)];
  const needed = BigInt(FIXED_BYTES) + LEAST_TENSOR_BYTES * tensors + LEAST_PAIR_BYTES * pairs;
  if (needed > sizeBytes || tensors > MAX_TENSORS)
    throw new UserError(
      'gguf/damaged',
      `${path}: the header announces ${tensors} tensors (at most ${MAX_TENSORS} are read) and ${pairs} key-value pairs, at least ${needed} bytes; the file has ${sizeBytes}.`,
      DAMAGED,
    );
}

function readStart(path: string): { bytes: Uint8Array; sizeBytes: number } {
  expectKind(path, 'gguf');
  const fd = readingNow(path, () => openSync(path, 'r'), { code: 'gguf/unreadable' });
  try {
    const sizeBytes = fstatSync(fd).size;
    const bytes = new Uint8Array(FIXED_BYTES);
    readFully(fd, bytes.subarray(0, Math.min(FIXED_BYTES, sizeBytes)), 0, path);
    return { bytes, sizeBytes };
  } finally {
    closeSync(fd);
  }
}

async function parse(path: string): Promise<Parsed> {
  try {
    return await gguf(path, { allowLocalFile: true, typedMetadata: true });
  } catch (error) {
    throw new UserError('gguf/damaged', `${path}: the header cannot be read: ${messageOf(error)}.`, DAMAGED);
  }
}

/**
 * The parser loses text in three ways. It replaces bytes that are not UTF-8, cuts a text that lies across two of its
 * blocks at the end of an array, and drops a leading byte order mark. The last is mended where a vocabulary is read
 * (a piece that is empty); the number of bytes shows the others.
 */
function checkTexts(path: string, { typedMetadata, tensorInfoByteRange }: Parsed): void {
  const tokens = typedMetadata['tokenizer.ggml.tokens']?.value;
  const empty = Array.isArray(tokens) ? tokens.filter((token) => token === '').length : 0;
  const found = FIXED_BYTES + metadataBytes(typedMetadata);
  const missing = tensorInfoByteRange[0] - found;
  if (Number.isNaN(missing) || missing === 0 || missing === 3 * empty) return;
  throw new UserError(
    'gguf/damaged',
    `${path}: a text of the header is not valid UTF-8, or a key stands there twice (the key-value pairs take ${tensorInfoByteRange[0]} bytes, those read ${found}).`,
    DAMAGED,
  );
}

function readTensors(path: string, sizeBytes: number, parsed: Parsed): ReadonlyMap<string, GgufTensor> {
  rejectTypes(path, parsed.tensorInfos);
  const tensors = new Map<string, GgufTensor>();
  const dataStart = Number(parsed.tensorDataOffset);
  for (const info of parsed.tensorInfos) {
    if (tensors.has(info.name))
      throw new UserError('gguf/tensor', `${path}: tensor ${info.name} is listed twice.`, DAMAGED);
    tensors.set(info.name, readEntry(path, info, dataStart, sizeBytes));
  }
  checkOverlap(path, tensors);
  return tensors;
}

function rejectTypes(path: string, infos: readonly GGUFTensorInfo[]): void {
  const unknown = infos.filter(({ dtype }) => !Object.hasOwn(GGUF_TYPES, GGMLQuantizationType[dtype] ?? ''));
  const [first] = unknown;
  if (!first) return;
  const type = GGMLQuantizationType[first.dtype] ?? `number ${first.dtype}`;
  const others = unknown.length > 1 ? ` (and ${unknown.length - 1} more tensors)` : '';
  throw new UserError(
    'gguf/tensor-type',
    `${path}: tensor ${first.name}${others} is of type ${type}; allowed are ${Object.keys(GGUF_TYPES).join(', ')}.`,
    'Use an F16, BF16 or Q8_0 file of the same model.',
  );
}

function readEntry(path: string, info: GGUFTensorInfo, dataStart: number, sizeBytes: number): GgufTensor {
  const type = GGMLQuantizationType[info.dtype] as GgufType;
  const dims = info.shape.map(Number).reverse();
  const { blockElements, blockBytes } = GGUF_TYPES[type];
  if (dims.length > MAX_RANK)
    throw new UserError(
      'gguf/tensor',
      `${path}: tensor ${info.name} has ${dims.length} dimensions; at most ${MAX_RANK} are allowed.`,
      DAMAGED,
    );
  const row = dims.at(-1) ?? 1;
  if (row % blockElements !== 0)
    throw new UserError(
      'gguf/tensor',
      `${path}: tensor ${info.name} has rows of ${row}; ${type} needs a multiple of ${blockElements}.`,
      DAMAGED,
    );
  const byteOffset = dataStart + Number(info.offset);
  const count = elementCountIn(dims) ?? Number.POSITIVE_INFINITY;
  const byteLength = (count / blockElements) * blockBytes;
  if (!Number.isSafeInteger(byteOffset + byteLength) || byteOffset + byteLength > sizeBytes)
    throw new UserError(
      'gguf/truncated',
      `${path}: tensor ${info.name} reaches to byte ${byteOffset + byteLength} but the file has ${sizeBytes}.`,
      DAMAGED,
    );
  return { name: info.name, type, dims, path, byteOffset, byteLength };
}

function checkOverlap(path: string, tensors: ReadonlyMap<string, GgufTensor>): void {
  const ordered = [...tensors.values()].sort((a, b) => a.byteOffset - b.byteOffset);
  for (const [i, tensor] of ordered.entries()) {
    const next = ordered[i + 1];
    if (next && tensor.byteOffset + tensor.byteLength > next.byteOffset)
      throw new UserError(
        'gguf/tensor',
        `${path}: tensors ${tensor.name} and ${next.name} overlap.`,
        DAMAGED,
      );
  }
}
