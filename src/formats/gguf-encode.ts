/** Blocks of GGUF from numbers, rounded as llama.cpp does, and from codes on a grid, which are kept. */
import { float16Value, float32ToFloat16 } from './float-bits.ts';
import { BLOCK } from './gguf-blocks.ts';

/** Types that blocks are written in. */
export type BlockType = 'Q8_0' | 'Q4_0' | 'Q4_1';

const HEAD_BYTES: Readonly<Record<BlockType, number>> = { Q8_0: 2, Q4_0: 2, Q4_1: 4 };
const blockBytes = (type: BlockType): number => HEAD_BYTES[type] + (type === 'Q8_0' ? BLOCK : BLOCK / 2);

/** x ≈ d q + m: scale and offset as float16 bits, and levels as the block stores them. */
interface Block {
  readonly d: number;
  readonly m: number;
  readonly levels: Uint8Array;
}

const halfBits = (value: number): number => float32ToFloat16(Float32Array.of(value))[0]!;

/**
 * Rounds rows of whole blocks to nearest. The formulas are those of llama.cpp's `quantize_row_…_ref`: Q8_0 d = max|x|/127;
 * Q4_0 d = −x/8 for the x of the largest size; Q4_1 d = (max − min)/15, m = min.
 */
export function encodeNumbers(type: BlockType, values: Float32Array): Uint8Array {
  return blocks(type, values.length, (start) => {
    const x = values.subarray(start, start + BLOCK);
    return { Q8_0: nearest8, Q4_0: nearest4, Q4_1: nearest41 }[type](x);
  });
}

function nearest8(x: Float32Array): Block {
  const most = x.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const d = Math.fround(most / 127);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  // C's roundf takes halves away from zero.
  const levels = Uint8Array.from(x, (each) => {
    const scaled = Math.fround(each * inverse);
    return Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
  });
  return { d: halfBits(d), m: 0, levels };
}

function nearest4(x: Float32Array): Block {
  let largest = 0;
  for (const each of x) if (Math.abs(each) > Math.abs(largest)) largest = each;
  const d = Math.fround(largest / -8);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  const level = (each: number): number =>
    Math.min(15, Math.trunc(Math.fround(Math.fround(each * inverse) + 8.5)));
  return { d: halfBits(d), m: 0, levels: Uint8Array.from(x, level) };
}

function nearest41(x: Float32Array): Block {
  const [least, most] = [Math.min(...x), Math.max(...x)];
  const d = Math.fround(Math.fround(most - least) / 15);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  const level = (each: number): number =>
    Math.min(15, Math.trunc(Math.fround(Math.fround(Math.fround(each - least) * inverse) + 0.5)));
  return { d: halfBits(d), m: halfBits(least), levels: Uint8Array.from(x, level) };
}

/** Codes of a matrix: w = s (c − z), with a scale for every group of columns of a row. */
export interface GridCodes {
  readonly rows: number;
  readonly columns: number;
  readonly codes: Int8Array;
  readonly scale: Float32Array;
  readonly zero: Float32Array;
}

/** Why a grid has no place in a type, in words; null where it has: no code is rounded anew. */
export function gridObstacle(
  type: BlockType,
  bits: number,
  symmetric: boolean,
  group: number,
): string | null {
  if (group % BLOCK !== 0) return `scales change within blocks of ${BLOCK} columns`;
  if (type === 'Q8_0') return null;
  if (bits > 4) return `codes have ${bits} bits`;
  return type === 'Q4_0' && !symmetric ? 'it has no zero points' : null;
}

/**
 * The same codes as blocks, with scales rounded to float16. Rows are whole blocks, and groups too.
 * @throws RangeError for a code, without its zero point, that the type has no level for.
 */
export function encodeGrid(type: BlockType, grid: GridCodes): Uint8Array {
  const perGroup = (grid.rows * grid.columns) / grid.scale.length;
  return blocks(type, grid.codes.length, (start) => {
    const group = Math.floor(start / perGroup);
    const zero = grid.zero[group]!;
    const d = halfBits(grid.scale[group]!);
    // Codes begin at −8. The offset is a multiple of the scale as it is stored.
    const m = type === 'Q4_1' ? halfBits(-float16Value(d) * (zero + 8)) : 0;
    const levels = Uint8Array.from(grid.codes.subarray(start, start + BLOCK), (code) =>
      type === 'Q8_0'
        ? inRange(code - zero, -128, 127)
        : inRange(code + 8 - (type === 'Q4_0' ? zero : 0), 0, 15),
    );
    return { d, m, levels };
  });
}

function inRange(level: number, least: number, most: number): number {
  if (level >= least && level <= most) return level;
  throw new RangeError(`a block has no level ${level}`);
}

/** @param blockAt the block whose first element is at `start`. */
function blocks(type: BlockType, count: number, blockAt: (start: number) => Block): Uint8Array {
  const size = blockBytes(type);
  const head = HEAD_BYTES[type];
  const bytes = new Uint8Array((count / BLOCK) * size);
  const view = new DataView(bytes.buffer);
  for (let start = 0, at = 0; start < count; start += BLOCK, at += size) {
    const { d, m, levels } = blockAt(start);
    view.setUint16(at, d, true);
    if (type === 'Q4_1') view.setUint16(at + 2, m, true);
    if (type === 'Q8_0') bytes.set(levels, at + head);
    else
      for (let i = 0; i < BLOCK / 2; i++) bytes[at + head + i] = levels[i]! | (levels[i + BLOCK / 2]! << 4);
  }
  return bytes;
}
