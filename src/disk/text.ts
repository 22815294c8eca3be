import { isUtf8 } from 'node:buffer';
import { type FileHandle, open } from 'node:fs/promises';
import { throwIfCancelled, UserError } from '../protocol/errors.ts';
import { reading } from './faults.ts';
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
    yield* piecesOf(path, file, signal);
  } finally {
    await file.close();
  }
}

async function* piecesOf(path: string, file: FileHandle, signal?: AbortSignal): AsyncGenerator<string, void> {
  const place = { bytes: 0, lines: 0 };
  let rest: Uint8Array = new Uint8Array();
  for (;;) {
    throwIfCancelled(signal);
    const buffer = Buffer.alloc(PIECE_BYTES);
    buffer.set(rest);
    const { bytesRead } = await reading(path, () =>
      file.read(buffer, rest.length, PIECE_BYTES - rest.length),
    );
    const bytes = buffer.subarray(0, rest.length + bytesRead);
    const isLast = bytesRead === 0;
    const whole = isLast ? bytes : bytes.subarray(0, bytes.length - cutCharacterLength(bytes));
    const begin = place.bytes === 0 && BYTE_ORDER_MARK.every((byte, i) => whole[i] === byte) ? 3 : 0;
    const text = decode(path, whole, place);
    if (text !== '') yield begin === 0 ? text : text.slice(1);
    if (isLast) return;
    rest = bytes.subarray(whole.length);
  }
}

/** @param place of the first byte; it is moved on. */
function decode(path: string, bytes: Buffer, place: { bytes: number; lines: number }): string {
  const bad = isUtf8(bytes) ? -1 : (firstInvalidUtf8(bytes) ?? -1);
  const nul = bytes.indexOf(0);
  if (bad >= 0 || nul >= 0) throw badByte(path, bytes, bad >= 0 && (nul < 0 || bad < nul) ? bad : nul, place);
  place.bytes += bytes.length;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) place.lines++;
  return bytes.toString('utf8');
}

function badByte(
  path: string,
  bytes: Buffer,
  at: number,
  place: { readonly bytes: number; readonly lines: number },
): UserError {
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
export async function* readLines(path: string, signal?: AbortSignal): AsyncGenerator<string, void> {
  let rest = '';
  for await (const piece of readTextPieces(path, signal)) {
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
        'Calibration reads a text line by line: break the line.',
      );
  }
  if (rest !== '') yield rest;
}
