import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { codeOf, messageOf, throwIfCancelled, UserError } from '../protocol/errors.ts';
import { diskFault, reading } from './faults.ts';
import { expectKind } from './file-kind.ts';
import { cutCharacterLength, firstInvalidUtf8 } from './utf8.ts';

/** Large enough that reading is fast, small enough that a cancelled read ends at once. */
const PIECE_BYTES = 1 << 20;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * Reads a text in pieces, as much of it as is asked for. Every byte is checked; a byte order mark at the start is
 * dropped. A piece ends between two characters, not always between two lines.
 * @throws UserError `file/kind` for what is plainly no text, `text/encoding` with the place of the first bad byte.
 */
export async function* readTextPieces(path: string, signal?: AbortSignal): AsyncGenerator<string, void> {
  expectKind(path, 'text');
  const file = await reading(path, () => open(path, 'r'));
  try {
    yield* decodePieces(path, chunksOf(path, file), signal);
  } finally {
    await file.close();
  }
}

async function* chunksOf(path: string, file: FileHandle): AsyncGenerator<Buffer, void> {
  for (;;) {
    const buffer = Buffer.alloc(PIECE_BYTES);
    const { bytesRead } = await reading(path, () => file.read(buffer, 0, PIECE_BYTES));
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * {@link readTextPieces} of a text that gzip packed. It is unpacked as far as it is asked for.
 * @throws as {@link readTextPieces}, and UserError `gzip/damaged`.
 */
export async function* readPackedPieces(path: string, signal?: AbortSignal): AsyncGenerator<string, void> {
  expectKind(path, 'gzip');
  yield* decodePieces(path, unpacked(path), signal);
}

async function* unpacked(path: string): AsyncGenerator<Buffer, void> {
  const packed = createReadStream(path);
  const unpack = createGunzip({ chunkSize: PIECE_BYTES });
  packed.on('error', (error) => unpack.destroy(error));
  try {
    for await (const chunk of packed.pipe(unpack)) yield chunk as Buffer;
  } catch (error) {
    throw unpackFault(path, error);
  } finally {
    packed.destroy();
    unpack.destroy();
  }
}

/** Errors of zlib have codes of their own; all others are those of the disk. */
function unpackFault(path: string, error: unknown): unknown {
  const code = codeOf(error);
  if (!code?.startsWith('Z_')) return diskFault(error, path, 'read');
  return new UserError(
    'gzip/damaged',
    `${path} cannot be unpacked to its end: ${messageOf(error)}.`,
    'The file is cut short or damaged: download it again.',
  );
}

/** Whole characters of bytes that come in any pieces. */
async function* decodePieces(
  path: string,
  chunks: AsyncIterable<Buffer>,
  signal?: AbortSignal,
): AsyncGenerator<string, void> {
  const place = { bytes: 0, lines: 0 };
  let rest: Buffer = Buffer.alloc(0);
  throwIfCancelled(signal);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.subarray(0, bytes.length - cutCharacterLength(bytes));
    rest = bytes.subarray(whole.length);
    yield* decoded(path, whole, place);
    throwIfCancelled(signal);
  }
  yield* decoded(path, rest, place);
}

function* decoded(path: string, bytes: Buffer, place: Place): Generator<string, void> {
  const begin = place.bytes === 0 && BYTE_ORDER_MARK.every((byte, i) => bytes[i] === byte) ? 1 : 0;
  const text = decode(path, bytes, place).slice(begin);
  if (text !== '') yield text;
}

/** How much was read so far. */
interface Place {
  bytes: number;
  lines: number;
}

/** @param place of the first byte; it is moved on. */
function decode(path: string, bytes: Buffer, place: Place): string {
  const bad = isUtf8(bytes) ? -1 : (firstInvalidUtf8(bytes) ?? -1);
  const nul = bytes.indexOf(0);
  if (bad >= 0 || nul >= 0) throw badByte(path, bytes, bad >= 0 && (nul < 0 || bad < nul) ? bad : nul, place);
  place.bytes += bytes.length;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) place.lines++;
  return bytes.toString('utf8');
}

function badByte(path: string, bytes: Buffer, at: number, place: Readonly<Place>): UserError {
  let line = place.lines + 1;
  for (const byte of bytes.subarray(0, at)) if (byte === 10) line++;
  const hex = `0x${bytes[at]!.toString(16).toUpperCase().padStart(2, '0')}`;
  return new UserError(
    'text/encoding',
    `${path}:${line}: byte ${place.bytes + at} of the file is ${hex}, which is not UTF-8 text.`,
    bytes[at] === 0
      ? 'A text has no NUL bytes: name another file.'
      : 'Write it as UTF-8: iconv -f LATIN1 -t UTF-8 FILE, with the encoding that it has.',
  );
}

/** Longer lines are hardly lines: they would not fit into a string twice. */
const MAX_LINE = 1 << 27;

/**
 * Reads a text line by line; each has its newline.
 * @throws as {@link readTextPieces}, and UserError `text/long-line`.
 */
export function readLines(path: string, signal?: AbortSignal): AsyncGenerator<string, void> {
  return linesOf(path, readTextPieces(path, signal));
}

/** Lines of a text in pieces. @param path names the text in messages. */
export async function* linesOf(path: string, pieces: AsyncIterable<string>): AsyncGenerator<string, void> {
  let rest = '';
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', start)) {
      yield rest + piece.slice(start, end + 1);
      rest = '';
      start = end + 1;
    }
    rest += piece.slice(start);
    if (rest.length > MAX_LINE)
      throw new UserError(
        'text/long-line',
        `${path} has a line of more than ${MAX_LINE} characters.`,
        'Such a text is read line by line: break the line.',
      );
  }
  if (rest !== '') yield rest;
}
