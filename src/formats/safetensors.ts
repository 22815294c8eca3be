import { closeSync, fstatSync, openSync } from 'node:fs';
import { visit } from 'jsonc-parser';
import { readingNow } from '../disk/faults.ts';
import { expectKind } from '../disk/file-kind.ts';
import { parseJson } from '../disk/json.ts';
import { UserError } from '../protocol/errors.ts';
import { isObject } from '../protocol/object.ts';
import type { DType, FileTensor } from '../protocol/tensor.ts';
import { BYTES_PER_ELEMENT } from '../protocol/tensor.ts';
import { byteCount, isSize } from './sizes.ts';
import { readFully } from './tensor-io.ts';

export const SAFETENSORS_DTYPES: Readonly<Record<string, DType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I8: 'int8',
  U8: 'uint8',
  BOOL: 'bool',
};

/** The format's own limit: a larger header is an attack or not a header. */
const MAX_HEADER_BYTES = 100_000_000;

const DAMAGED =
  'The file is damaged or incomplete: copy or download it again, or save it again with safetensors.';

/** A tensor of a dtype that nothing here computes with, such as F8_E4M3. It has a place and a shape. */
export interface ForeignTensor extends Omit<FileTensor, 'kind' | 'dtype'> {
  readonly kind: 'foreign';
  /** As the file names it. */
  readonly dtype: string;
}

/** The contents of a safetensors file; the tensors' data stays in the file. */
export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, FileTensor>;
  /** Empty unless they were asked for. */
  readonly foreign: ReadonlyMap<string, ForeignTensor>;
  /** The free-text `__metadata__` entry. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
}

/**
 * Reads and checks the header. Nothing is trusted before names, dtypes, shapes and byte ranges agree with each other
 * and with the file's size. The layout is u64 little-endian header length, JSON header, data.
 * @param unknown a tensor of a dtype that is not known is refused, or set aside for those who may not need it.
 * @throws UserError `safetensors/…` naming the file, the tensor, what was found and what is allowed.
 */
export function readSafetensorsHeader(
  path: string,
  unknown: 'refused' | 'set aside' = 'refused',
): SafetensorsFile {
  const { text, sizeBytes, dataStart } = readHeaderText(path);
  const header = parseHeader(path, text);
  const metadata = readMetadata(path, header.get('__metadata__'));
  header.delete('__metadata__');
  const tensors = new Map<string, FileTensor>();
  const foreign = new Map<string, ForeignTensor>();
  for (const [name, entry] of header) {
    const tensor = readEntry({ path, name, sizeBytes, dataStart }, entry);
    if (tensor.kind === 'file') tensors.set(name, tensor);
    else if (unknown === 'set aside') foreign.set(name, tensor);
    else throw unknownDType(name, tensor);
  }
  checkCoverage(path, [...tensors, ...foreign], dataStart, sizeBytes);
  return { path, tensors, foreign, metadata, sizeBytes };
}

/** The fault of a tensor that is needed and has a dtype that is not known. */
export function unknownDType(name: string, { path, dtype }: ForeignTensor): UserError {
  return new UserError(
    'safetensors/dtype',
    `${path}: tensor ${name} has dtype ${JSON.stringify(dtype)}; supported are ${Object.keys(SAFETENSORS_DTYPES).join(', ')}.`,
    'Convert the checkpoint to bfloat16, float16 or float32.',
  );
}

function readHeaderText(path: string): { text: string; sizeBytes: number; dataStart: number } {
  expectKind(path, 'safetensors');
  const fd = openFile(path);
  try {
    const sizeBytes = fstatSync(fd).size;
    if (sizeBytes < 8) {
      throw new UserError(
        'safetensors/truncated',
        `${path}: ${sizeBytes} bytes are not a safetensors file.`,
        DAMAGED,
      );
    }
    const prefix = new Uint8Array(8);
    readFully(fd, prefix, 0, path);
    const length = new DataView(prefix.buffer).getBigUint64(0, true);
    checkHeaderLength(path, length, sizeBytes);
    const bytes = new Uint8Array(Number(length));
    readFully(fd, bytes, 8, path);
    return { text: decodeUtf8(path, bytes), sizeBytes, dataStart: 8 + bytes.length };
  } finally {
    closeSync(fd);
  }
}

function openFile(path: string): number {
  return readingNow(path, () => openSync(path, 'r'), { code: 'safetensors/unreadable' });
}

function checkHeaderLength(path: string, length: bigint, sizeBytes: number): void {
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new UserError(
      'safetensors/header-size',
      `${path} announces a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are allowed.`,
      'This is probably not a safetensors file.',
    );
  }
  if (length + 8n > BigInt(sizeBytes)) {
    throw new UserError(
      'safetensors/truncated',
      `${path} announces a header of ${length} bytes but the whole file has ${sizeBytes}.`,
      DAMAGED,
    );
  }
}

function decodeUtf8(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UserError('safetensors/json', `${path}: the header is not valid UTF-8.`, DAMAGED);
  }
}

function parseHeader(path: string, text: string): Map<string, unknown> {
  const words = { code: 'safetensors/json', part: 'the header', hint: DAMAGED };
  const header = parseJson(text, path, words);
  if (!isObject(header) || text.startsWith('\ufeff')) {
    throw new UserError('safetensors/json', `${path}: the header is not a JSON object.`, DAMAGED);
  }
  checkHeaderText(path, text);
  return new Map(Object.entries(header));
}

/**
 * JSON.parse keeps the last of equal names, and reads 1.0, 1e0 and -0 as whole numbers. The reference refuses all of
 * these, so this function looks at the text.
 */
function checkHeaderText(path: string, text: string): void {
  const levels: Set<string>[] = [];
  let tensor = '';
  let fault: UserError | undefined;
  visit(text, {
    onObjectBegin: () => {
      levels.push(new Set());
    },
    onObjectEnd: () => {
      levels.pop();
    },
    onObjectProperty: (name) => {
      const names = levels.at(-1)!;
      if (levels.length === 1) tensor = name;
      const listed = levels.length === 1 ? 'is' : `has ${JSON.stringify(name)}`;
      if (names.has(name) && !(levels.length > 1 && tensor === '__metadata__'))
        fault ??= new UserError(
          'safetensors/duplicate',
          `${path}: tensor ${tensor} ${listed} listed twice.`,
          DAMAGED,
        );
      names.add(name);
    },
    onLiteralValue: (value, offset, length) => {
      const written = text.slice(offset, offset + length);
      if (typeof value === 'number' && isSize(value + 0) && !/^\d+$/.test(written))
        fault ??= new UserError(
          'safetensors/number',
          `${path}: tensor ${tensor} has the number ${written}; shapes and offsets are whole numbers of at least 0, written in digits.`,
          DAMAGED,
        );
    },
  });
  if (fault) throw fault;
}

/** A description in a message is cut: a damaged one may have any length. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function readMetadata(path: string, value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isObject(value) || !Object.values(value).every((text) => typeof text === 'string')) {
    throw new UserError('safetensors/metadata', `${path}: __metadata__ must map text to text.`, DAMAGED);
  }
  return value as Record<string, string>;
}

interface EntryContext {
  readonly path: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly dataStart: number;
}

function readEntry(context: EntryContext, entry: unknown): FileTensor | ForeignTensor {
  const { path, name, sizeBytes, dataStart } = context;
  const fail = (code: string, found: string): never => {
    throw new UserError(`safetensors/${code}`, `${path}: tensor ${name} ${found}.`, DAMAGED);
  };
  if (!isObject(entry)) return fail('entry', 'has no description object');
  const { dtype: tag, shape, data_offsets: offsets } = entry;
  if (typeof tag !== 'string') return fail('dtype', `has dtype ${shown(tag)}`);
  const dtype = Object.hasOwn(SAFETENSORS_DTYPES, tag) ? SAFETENSORS_DTYPES[tag] : undefined;
  if (!Array.isArray(shape) || !shape.every(isSize)) return fail('shape', `has shape ${shown(shape)}`);
  if (
    !Array.isArray(offsets) ||
    offsets.length !== 2 ||
    !offsets.every(isSize) ||
    offsets[0]! > offsets[1]!
  ) {
    return fail('range', `has data_offsets ${shown(offsets)}; [begin, end] in bytes is expected`);
  }
  const [begin, end] = offsets as [number, number];
  if (dataStart + end > sizeBytes) {
    return fail('truncated', `reaches to byte ${dataStart + end} but the file has ${sizeBytes}`);
  }
  const place = { dims: shape, path, byteOffset: dataStart + begin, byteLength: end - begin };
  // How many bytes such an element takes is not known here; the ranges must still tile the file.
  if (dtype === undefined) return { kind: 'foreign', dtype: tag, ...place };
  const expected = byteCount(shape, BYTES_PER_ELEMENT[dtype]);
  if (expected === null) return fail('shape', `has shape ${shown(shape)}, more than any file holds`);
  if (end - begin !== expected) {
    return fail('range', `has ${end - begin} bytes; ${tag} ${shown(shape)} takes ${expected}`);
  }
  return { kind: 'file', dtype, ...place };
}

/** The ranges must tile the data exactly: no overlap, no hole, no rest. */
function checkCoverage(
  path: string,
  tensors: readonly (readonly [string, FileTensor | ForeignTensor])[],
  dataStart: number,
  sizeBytes: number,
): void {
  const ordered = [...tensors].sort(
    ([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength,
  );
  let position = dataStart;
  let previous = 'the header';
  for (const [name, tensor] of ordered) {
    if (tensor.byteOffset < position) {
      throw new UserError(
        'safetensors/overlap',
        `${path}: tensors ${previous} and ${name} overlap.`,
        DAMAGED,
      );
    }
    if (tensor.byteOffset > position) {
      const gap = tensor.byteOffset - position;
      throw new UserError('safetensors/hole', `${path}: ${gap} unused bytes before tensor ${name}.`, DAMAGED);
    }
    position += tensor.byteLength;
    previous = name;
  }
  if (position !== sizeBytes) {
    const rest = sizeBytes - position;
    throw new UserError('safetensors/hole', `${path}: ${rest} unused bytes after ${previous}.`, DAMAGED);
  }
}
