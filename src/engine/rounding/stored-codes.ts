/**
 * Codes of 4 bits, two in a byte, as files of rounded layers hold them: rows of ⌈columns/2⌉ bytes, the code of an even
 * column in the lower half and that of the next one in the upper half, −8 … 7 in two's complement. The last half of an
 * odd row is 0.
 */
import { z } from 'zod';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import type { HostTensor } from '../../protocol/tensor.ts';
import type { GridMatrix } from '../network/rounded-weights.ts';

/**
 * What a file tells of itself: `format` and `version`, and in `columns` how many columns each matrix has whose codes are
 * halves of bytes. The first version had none of these, and codes of a byte alone.
 */
export const FORMAT = 'spinquant rounded layer';
export const VERSION = '2';

const columnsSchema = z.partialRecord(z.enum(LINEARS), z.int().positive());

export const bytesPerRow = (columns: number): number => Math.ceil(columns / 2);

/** True where every code fits half a byte. */
function fitsHalfBytes(codes: Int8Array): boolean {
  return codes.every((code) => code >= -8 && code <= 7);
}

/** @param codes −8 … 7 [rows, columns]. @returns bytes [rows, ⌈columns/2⌉]. */
function toHalfBytes(codes: Int8Array, rows: number, columns: number): Uint8Array {
  const width = bytesPerRow(columns);
  const bytes = new Uint8Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let at = 0; at < width; at++) {
      const [even, from] = [2 * at, row * columns];
      const odd = even + 1 < columns ? codes[from + even + 1]! : 0;
      bytes[row * width + at] = (codes[from + even]! & 15) | ((odd & 15) << 4);
    }
  return bytes;
}

/** Both codes of each byte, as two bytes in the order in which they lie in memory: a run has a billion of them. */
const CODES_OF_BYTE = Uint16Array.from({ length: 256 }, (_, byte) => {
  const pair = Int8Array.of((byte << 28) >> 28, (byte << 24) >> 28);
  return new Uint16Array(pair.buffer)[0]!;
});

/** @param bytes [rows, ⌈columns/2⌉]. @returns codes −8 … 7 [rows, columns]; null where the half behind an odd row is not 0. */
function fromHalfBytes(bytes: Uint8Array, rows: number, columns: number): Int8Array | null {
  const codes = new Int8Array(rows * columns);
  if (columns % 2 === 0) {
    const pairs = new Uint16Array(codes.buffer);
    for (let i = 0; i < pairs.length; i++) pairs[i] = CODES_OF_BYTE[bytes[i]!]!;
    return codes;
  }
  const width = bytesPerRow(columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const byte = bytes[row * width + (column >> 1)]!;
      // The wanted half is shifted to the upper end of 32 bits, and back with its sign.
      codes[row * columns + column] = column % 2 === 0 ? (byte << 28) >> 28 : (byte << 24) >> 28;
    }
  for (let row = 1; row <= rows; row++) if (bytes[row * width - 1]! > 15) return null;
  return codes;
}

/**
 * Columns of the matrices whose codes are halves of bytes, by their layer.
 * @throws UserError `runs/newer` where the file is of a version that is not known, `runs/damaged` where it does not say.
 */
export function columnsOf(
  path: string,
  { version, columns }: Readonly<Record<string, string>>,
): Partial<Record<Linear, number>> {
  if (version === undefined) return {};
  if (version !== VERSION)
    throw new UserError(
      'runs/newer',
      `${path} is of version ${JSON.stringify(version)} of rounded layers; this version of SpinQuant Lab reads 2 and the one before it.`,
      'Use the version that wrote it, or delete the file: it is made again.',
    );
  const found = columnsSchema.safeParse(parsed(columns));
  if (found.success) return found.data;
  throw damaged(path, 'does not say how many columns its codes have');
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}

export const damaged = (path: string, what: string): UserError =>
  new UserError('runs/damaged', `${path} ${what}.`, 'Delete the file: it is made again.');

/** Codes as a file holds them. */
export function storedCodes({ rows, columns, codes }: GridMatrix): HostTensor {
  if (!fitsHalfBytes(codes)) return { kind: 'host', dtype: 'int8', dims: [rows, columns], data: codes };
  const data = toHalfBytes(codes, rows, columns);
  return { kind: 'host', dtype: 'uint8', dims: [rows, bytesPerRow(columns)], data };
}

/** @param halved columns of a matrix whose codes are halves of bytes. */
export function readCodes(
  path: string,
  linear: Linear,
  { data, dims }: HostTensor,
  halved: number | undefined,
): Pick<GridMatrix, 'rows' | 'columns' | 'codes'> {
  const [rows = 0, width = 0] = dims;
  if (data instanceof Int8Array && halved === undefined) return { rows, columns: width, codes: data };
  const name = `${linear}.codes`;
  if (!(data instanceof Uint8Array) || halved === undefined)
    throw damaged(path, `holds ${name} neither as bytes nor as halves of bytes`);
  if (width !== bytesPerRow(halved))
    throw damaged(
      path,
      `holds ${name} in rows of ${width} bytes, where ${halved} codes take ${bytesPerRow(halved)}`,
    );
  const codes = fromHalfBytes(data, rows, halved);
  if (codes) return { rows, columns: halved, codes };
  throw damaged(path, `holds ${name} with something behind the ${halved} codes of a row`);
}
