/** Draws calls of the operators that read and write caches. */
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { type Call, countOf, type Dims, type Draw, grouped, quantizer, tensor } from './odd-draw.ts';

/** Rows of stacked queries are told by their number, or by that of the heads that share a key/value head. */
const rowsOf = (draw: Draw, rows: number, repeats: number) => (draw.flag() ? { repeats } : { rows });

export function cachedAttention(draw: Draw): Call {
  const [groups, repeats, width] = [draw.one([0, 1, 2, 3, 4]), 1 + draw.below(3), draw.size()];
  const [rows, capacity] = [1 + draw.size(), draw.size()];
  const of = (count: number): Dims => [groups, count, width];
  const [q, own, past] = [of(repeats * rows), of(rows), of(capacity)];
  const window = draw.one([0, 0, 1, 7, rows, capacity + rows, 2 ** 32, 2 ** 53]);
  const floats = [q, own, own, past, past].map((dims) => tensor(draw, dims));
  const within: ProbeTensor = { data: BigInt64Array.of(BigInt(draw.below(capacity + 1))), dims: [1] };
  const inputs = [...floats, draw.chance(0.9) ? within : tensor(draw, [1], 'int64')];
  return {
    attributes: { scale: 0.3, window, ...rowsOf(draw, rows, repeats) },
    inputs,
    outputs: [countOf(q)],
  };
}

/** A head's width, the channels that share a scale, and bits as they are stored; the latter two of a cache. */
function packedForm(draw: Draw) {
  const { width, group } = grouped(draw);
  // A head without channels is refused: that is seen often enough.
  const channels = width === 0 && draw.chance(0.9) ? group : width;
  return { width: channels, group, bits: 2 + draw.below(7), zeros: draw.flag() };
}

/** Bytes and scales of a block of packed tokens. */
function packedBlock(width: number, { group, bits, zeros }: Omit<ReturnType<typeof packedForm>, 'width'>) {
  const [size, perWord] = [group || width, bits > 4 ? 4 : 8];
  const groups = size === 0 ? 0 : width / size;
  return { bytes: 64 * groups * Math.ceil(size / perWord) + 32 * groups * zeros, scales: 16 * groups };
}

export function packCache(draw: Draw): Call {
  const { width, group } = grouped(draw);
  const { bits = 4, symmetric = 0, ...rule } = quantizer(draw);
  const { bytes, scales } = packedBlock(width, { group, bits, zeros: 1 - symmetric });
  const [heads, tokens] = [draw.below(3), draw.one([0, 1, 15, 16, 17, 40])];
  const count = heads * Math.ceil(tokens / 16);
  return {
    attributes: { ...rule, bits, symmetric, group, keys: draw.flag() },
    inputs: [tensor(draw, [heads, tokens, width])],
    outputs: [count * bytes, count * scales],
  };
}

export function packedAttention(draw: Draw): Call {
  const [key, other] = [packedForm(draw), packedForm(draw)];
  const { width } = key;
  const value = { ...other, group: 0 };
  const groups = draw.one([0, 1, 1, 2, 2, 3, 3]);
  const [repeats, rows] = [1 + draw.below(9), draw.one([1, 1, 2, 5, 17, 33])];
  const room = draw.one([0, 1, 2, 5, 33, 40]);
  const q: Dims = [groups, repeats * rows, width];
  const packed = (form: typeof value, blocks: number): ProbeTensor[] => {
    const { bytes, scales } = packedBlock(width, form);
    return [tensor(draw, [groups, blocks, bytes], 'int8'), tensor(draw, [groups, blocks, scales])];
  };
  const own = Math.ceil(rows / 16);
  const tokens = [...packed(key, own), ...packed(value, own), ...packed(key, room), ...packed(value, room)];
  const length: ProbeTensor = { data: BigInt64Array.of(BigInt(draw.below(16 * room + 1))), dims: [1] };
  const [terms, positions] = [draw.size(), 16 * room + rows];
  const constant = draw.flag()
    ? [tensor(draw, [...q.slice(0, -1), terms]), tensor(draw, [positions, terms])]
    : [];
  return {
    attributes: {
      ...{
        scale: 0.3,
        ...rowsOf(draw, rows, repeats),
        window: draw.one([0, 0, 1, 7, 100, 2 ** 32, 2 ** 53]),
      },
      ...{ key_bits: key.bits, key_group: key.group, key_zeros: key.zeros },
      ...{ value_bits: value.bits, value_group: value.group, value_zeros: value.zeros },
    },
    inputs: [tensor(draw, q), ...tokens, draw.chance(0.9) ? length : tensor(draw, [1], 'int64'), ...constant],
    outputs: [countOf(q)],
  };
}

/** Rows of packed tokens, mostly as wide as their form asks for. */
function tokenRows(draw: Draw) {
  const { width, ...form } = packedForm(draw);
  const { bytes, scales } = packedBlock(width, form);
  const needed = bytes / 16 + scales / 4;
  return {
    attributes: { width, ...form, keys: draw.flag() },
    block: { bytes, scales },
    rowBytes: needed + draw.one([0, 0, 1, 3, 3, -1]),
  };
}

export function appendTokens(draw: Draw): Call {
  const { attributes, block, rowBytes } = tokenRows(draw);
  const [heads, past, added] = [draw.below(3), draw.size(), draw.one([0, 1, 15, 16, 17, 40])];
  const blocks = Math.ceil(added / 16);
  const width = Math.max(rowBytes, 0);
  const count: ProbeTensor = { data: BigInt64Array.of(BigInt(added)), dims: [1] };
  return {
    attributes,
    inputs: [
      tensor(draw, [heads, past, width], 'int8'),
      tensor(draw, [heads, blocks, block.bytes], 'int8'),
      tensor(draw, [heads, blocks, block.scales]),
      draw.chance(0.9) ? count : tensor(draw, [1], 'int64'),
    ],
    outputs: [heads * (past + added) * width],
  };
}

export function tokenBlocks(draw: Draw): Call {
  const { attributes, block, rowBytes } = tokenRows(draw);
  const [heads, tokens] = [draw.below(3), draw.one([0, 1, 15, 16, 17, 40])];
  const count = heads * Math.ceil(tokens / 16);
  return {
    attributes,
    inputs: [tensor(draw, [heads, tokens, Math.max(rowBytes, 0)], 'int8')],
    outputs: [count * block.bytes, count * block.scales],
  };
}
