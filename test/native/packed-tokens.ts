/** Packed tokens for tests, and what they stand for (native-kernels/ops/packed_cache/README.md). */
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { addon, runOperator } from './support.ts';

/** Tokens whose codes lie together. */
export const BLOCK = 16;

export interface Quantizer {
  readonly bits: number;
  readonly symmetric: 0 | 1;
  readonly include_zero: 0 | 1;
  readonly clip_ratio: number;
  /** `clip_ratio` where absent. */
  readonly lower_ratio?: number;
  /** Channels that share a scale; 0 for the whole head. */
  readonly group: number;
}

/** Tokens x [heads, tokens, width]. */
export interface Tokens {
  readonly x: Float32Array;
  readonly heads: number;
  readonly tokens: number;
  readonly width: number;
}

export interface Packed {
  readonly codes: ProbeTensor & { readonly data: Int8Array };
  readonly scales: ProbeTensor & { readonly data: Float32Array };
}

interface Layout {
  readonly bits: 4 | 8;
  readonly group: number;
  readonly groups: number;
  readonly perWord: number;
  readonly groupWords: number;
  readonly codeBytes: number;
  readonly blockBytes: number;
}

export function layoutOf(width: number, { bits, symmetric, group: wanted }: Quantizer): Layout {
  const [stored, group] = [bits > 4 ? (8 as const) : (4 as const), wanted || width];
  const [groups, perWord] = [width / group, 32 / stored];
  const groupWords = Math.ceil(group / perWord);
  const codeBytes = BLOCK * groups * groupWords * 4;
  const blockBytes = codeBytes + (symmetric ? 0 : groups * BLOCK * 2);
  return { bits: stored, group, groups, perWord, groupWords, codeBytes, blockBytes };
}

/** Every byte starts as one that no code has everywhere, so that one left out is seen. */
export function pack(
  { x, heads, tokens, width }: Tokens,
  quantizer: Quantizer,
  keys: 0 | 1,
  isa: string,
): Packed {
  const { groups, blockBytes } = layoutOf(width, quantizer);
  const blocks = Math.ceil(tokens / BLOCK);
  const codes = {
    data: new Int8Array(heads * blocks * blockBytes).fill(0x5a),
    dims: [heads, blocks, blockBytes],
  };
  const scales = {
    data: new Float32Array(heads * blocks * groups * BLOCK).fill(Number.NaN),
    dims: [heads, blocks, groups * BLOCK],
  };
  const inputs = [{ data: x, dims: [heads, tokens, width] }];
  addon!.runOperator('PackCache', isa, { ...quantizer, keys }, inputs, [codes.data, scales.data], 1, 1);
  return { codes, scales };
}

/** The numbers s (c − z) [heads, tokens, width] in float32, read by the layout of README.md. */
export function unpack(
  { codes, scales }: Packed,
  { heads, tokens, width }: Omit<Tokens, 'x'>,
  quantizer: Quantizer,
  keys: 0 | 1,
): Float32Array {
  const { bits, group, groups, perWord, groupWords, codeBytes, blockBytes } = layoutOf(width, quantizer);
  const bytes = new DataView(codes.data.buffer);
  const blocks = codes.dims[1]!;
  return Float32Array.from({ length: heads * tokens * width }, (_, i) => {
    const [channel, row] = [i % width, Math.floor(i / width)];
    const [token, head] = [row % tokens, Math.floor(row / tokens)];
    const block = head * blocks + Math.floor(token / BLOCK);
    const [g, within, at] = [Math.floor(channel / group), channel % group, token % BLOCK];
    const word = g * groupWords + Math.floor(within / perWord);
    const place = keys ? word * BLOCK + at : at * groups * groupWords + word;
    const code =
      (bytes.getUint32(block * blockBytes + 4 * place, true) >>> (bits * (within % perWord))) % 2 ** bits;
    const zero = quantizer.symmetric
      ? 2 ** (bits - 1)
      : bytes.getInt16(block * blockBytes + codeBytes + 2 * (g * BLOCK + at), true);
    return scales.data[block * groups * BLOCK + g * BLOCK + at]! * (code - zero);
  });
}

/** The numbers that the quantizer of a network gives. */
export function fakeQuantized({ x, heads, tokens, width }: Tokens, quantizer: Quantizer): Float32Array {
  const inputs = [{ data: x, dims: [heads, tokens, width] }];
  const operation = { name: 'FakeQuantize', attributes: { ...quantizer }, inputs, outputs: [x.length] };
  return runOperator(operation, 'reference')[0]!;
}

/**
 * The same in memory for `capacity` tokens of each head. What lies behind the tokens must not matter: scales there are
 * not numbers, and codes anything.
 */
export function withCapacity(packed: Packed, tokens: number, capacity: number): Packed {
  const [heads, blocks, bytes] = packed.codes.dims as [number, number, number];
  const [room, scales] = [Math.ceil(capacity / BLOCK), packed.scales.dims[2]!];
  const codes = new Int8Array(heads * room * bytes).fill(0x5a);
  const grid = new Float32Array(heads * room * scales).fill(Number.NaN);
  for (let head = 0; head < heads; head++) {
    codes.set(
      packed.codes.data.subarray(head * blocks * bytes, (head + 1) * blocks * bytes),
      head * room * bytes,
    );
    grid.set(
      packed.scales.data.subarray(head * blocks * scales, (head + 1) * blocks * scales),
      head * room * scales,
    );
    for (let at = 0; at < blocks * scales; at++)
      if (Math.floor(at / scales) * BLOCK + (at % BLOCK) >= tokens)
        grid[head * room * scales + at] = Number.NaN;
  }
  return {
    codes: { data: codes, dims: [heads, room, bytes] },
    scales: { data: grid, dims: [heads, room, scales] },
  };
}
