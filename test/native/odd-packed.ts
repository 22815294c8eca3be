/** Draws calls of the operators that take codes of a few bits: weights, keys and values. */
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import {
  type Call,
  countOf,
  type Dims,
  type Draw,
  type Drawing,
  damaged,
  grouped,
  quantizer,
  rowsShape,
  sometimes,
  tensor,
} from './odd-draw.ts';

/** Rows of stacked queries are told by their number, or by that of the heads that share a key/value head. */
export const rowsOf = (draw: Draw, rows: number, repeats: number) => (draw.flag() ? { repeats } : { rows });

/** A head's width, the channels that share a scale, and bits as they are stored; the latter two of a cache. */
export function packedForm(draw: Draw) {
  const { width, group } = grouped(draw);
  // A head without channels is refused: that is seen often enough.
  const channels = width === 0 && draw.chance(0.9) ? group : width;
  return { width: channels, group, bits: 2 + draw.below(7), zeros: draw.flag() };
}

/** Bytes and scales of a block of packed tokens. */
export function packedBlock(
  width: number,
  { group, bits, zeros }: Omit<ReturnType<typeof packedForm>, 'width'>,
) {
  const [size, perWord] = [group || width, bits > 4 ? 4 : 8];
  const groups = size === 0 ? 0 : width / size;
  return { bytes: 64 * groups * Math.ceil(size / perWord) + 32 * groups * zeros, scales: 16 * groups };
}

function packCache(draw: Draw): Call {
  const { width, group } = grouped(draw);
  const { bits = 4, symmetric = 0, ...rule } = quantizer(draw);
  const { bytes, scales } = packedBlock(width, { group, bits, zeros: 1 - symmetric });
  const [heads, tokens] = [draw.below(3), draw.one([0, 1, 15, 16, 17, 40])];
  const count = heads * Math.ceil(tokens / 16);
  const isRows = heads > 0 && tokens > 0 && draw.flag() === 1;
  const tables = draw.flag() === 1 ? [1, 2].map(() => tensor(draw, [tokens, width / 2])) : [null, null];
  return {
    attributes: {
      ...{ ...rule, bits, symmetric, group, keys: draw.flag() },
      ...(isRows ? { heads, tokens } : {}),
      ...(draw.chance(0.3) ? { block: draw.one([1, 2, 8]), scale: 0.5 } : {}),
    },
    inputs: [
      tensor(draw, isRows ? [tokens, heads * width] : [heads, tokens, width]),
      ...(width % 2 === 0 ? tables : []),
    ],
    outputs: [count * bytes, count * scales],
  };
}

function rotaryHeads(draw: Draw): Call {
  const [sequences, tokens, groups, repeats] = [
    draw.below(3),
    1 + draw.below(5),
    1 + draw.below(3),
    1 + draw.below(3),
  ];
  const order = draw.one([1, 1, 12]);
  const block = order * 2 ** (1 + draw.below(6));
  const [width, heads] = [block * (1 + draw.below(2)), groups * repeats];
  const table = () => tensor(draw, [tokens, width / 2]);
  return {
    attributes: {
      ...{ heads, tokens, groups, scale: 0.5, transpose: draw.flag() },
      ...{ block: draw.chance(0.7) ? block : 0, order },
    },
    inputs: [
      ...[tensor(draw, [sequences * tokens, heads * width]), table(), table()],
      order === 1 ? null : tensor(draw, [order, order]),
    ],
    outputs: [sequences * tokens * heads * width],
  };
}

function packedAttention(draw: Draw): Call {
  const [key, other] = [packedForm(draw), packedForm(draw)];
  const { width } = key;
  const value = { ...other, group: 0 };
  const groups = draw.one([0, 1, 1, 2, 2, 3, 3]);
  const [repeats, rows] = [1 + draw.below(9), draw.one([1, 1, 2, 5, 17, 33])];
  const room = draw.one([0, 1, 2, 5, 33, 40]);
  const joined = draw.flag();
  const lead = joined === 1 ? [1, groups] : [groups];
  const q: Dims = [...lead, repeats * rows, width];
  const packed = (form: typeof value, blocks: number): ProbeTensor[] => {
    const { bytes, scales } = packedBlock(width, form);
    return [tensor(draw, [...lead, blocks, bytes], 'int8'), tensor(draw, [...lead, blocks, scales])];
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
        joined,
        window: draw.one([0, 0, 1, 7, 100, 2 ** 32, 2 ** 53]),
      },
      ...{ key_bits: key.bits, key_group: key.group, key_zeros: key.zeros },
      ...{ value_bits: value.bits, value_group: value.group, value_zeros: value.zeros },
    },
    inputs: [tensor(draw, q), ...tokens, draw.chance(0.9) ? length : tensor(draw, [1], 'int64'), ...constant],
    outputs: [countOf(q)],
  };
}

/** Packed weights for Int4MatMul, and what they are packed from. */
function int4(draw: Draw) {
  const part = 1 + draw.size();
  const [few, rows, zeros] = [1 + draw.below(3), 1 + draw.below(40), draw.flag()];
  const parts = few * (1 + draw.below(2));
  const [groups, spans] = draw.flag() ? [parts, few] : [few, parts];
  const panels = Math.ceil(rows / 16);
  const packed = [panels, (parts * Math.ceil(part / 32) * 32) / 8, 64];
  const grid = [panels, spans + groups * (1 + zeros), 16];
  return { group: (part * parts) / groups, groups, spans, rows, zeros, packed, grid };
}

function packInt4(draw: Draw): Call {
  const { group, groups, spans, rows, zeros, packed, grid } = int4(draw);
  const dims = damaged(draw, [rows, group * groups]);
  const lowest = zeros ? 0 : -8;
  const codes = Int8Array.from({ length: countOf(dims) }, () => lowest + draw.below(16));
  const scales = tensor(draw, [rows, groups]);
  const points = Float32Array.from({ length: scales.data.length }, () => draw.below(16));
  const inputs = [{ data: codes, dims }, scales, zeros ? { data: points, dims: scales.dims } : null];
  return { attributes: { spans }, inputs, outputs: [countOf(packed), countOf(grid)] };
}

function int4MatMul(draw: Draw): Call {
  const { group, groups, spans, rows, zeros, packed, grid } = int4(draw);
  const x = tensor(draw, rowsShape(draw, group * groups));
  const activation_group = (group * groups) / spans;
  const weights = 1 + draw.below(3);
  const weight = () => [tensor(draw, packed, 'int8'), tensor(draw, grid)];
  const heights = { rows, rows2: weights > 1 ? rows : 0, rows3: weights > 2 ? rows : 0 };
  return {
    attributes: {
      ...{ ...quantizer(draw), ...heights, group, activation_group },
      ...{ zero_points: zeros, norm: draw.flag(), epsilon: 1e-5 },
    },
    inputs: [x, ...Array.from({ length: 3 }, (_, i) => (i < weights ? weight() : [null, null])).flat()],
    outputs: Array(weights).fill(countOf(x.dims.slice(0, -1)) * rows),
  };
}

function int4MatMulAdd(draw: Draw): Call {
  const { group, groups, spans, rows, zeros, packed, grid } = int4(draw);
  const dims = rowsShape(draw, group * groups);
  const addend = tensor(draw, dims.with(-1, rows));
  const inputs = [addend, tensor(draw, dims), tensor(draw, packed, 'int8'), tensor(draw, grid)];
  const activation_group = (group * groups) / spans;
  return {
    attributes: { ...quantizer(draw), rows, group, activation_group, zero_points: zeros },
    inputs,
    outputs: [addend.data.length],
  };
}

function swiGluInt4MatMul(draw: Draw): Call {
  const [order, rows] = [draw.one([1, 1, 12, 20]), 1 + draw.below(40)];
  const block = order * 2 ** draw.below(6);
  const columns = block * (1 + draw.below(3));
  const dims = rowsShape(draw, columns);
  const panels = Math.ceil(rows / 16);
  const packed = [panels, (Math.ceil(columns / 32) * 32) / 8, 64];
  const m = order === 1 ? draw.one([null, tensor(draw, [1, 1])]) : tensor(draw, [order, order]);
  const [gate, up] = [tensor(draw, dims), tensor(draw, dims)];
  return {
    attributes: {
      ...{ ...quantizer(draw), rows, block: draw.chance(0.7) ? block : 0, order },
      ...{ scale: 0.5, transpose: draw.flag() },
    },
    inputs: [
      ...[gate, up, tensor(draw, packed, 'int8'), tensor(draw, [panels, 2, 16])],
      ...[m, sometimes(draw, dims.with(-1, rows))],
    ],
    outputs: [countOf(gate.dims.slice(0, -1)) * rows],
  };
}

/** The factors of a map of so many channels, and its numbers. */
function mapOf(draw: Draw, columns: number) {
  const left = draw.one(Array.from({ length: columns }, (_, i) => i + 1).filter((n) => columns % n === 0))!;
  return { left, numbers: tensor(draw, [columns + left ** 2 + (columns / left) ** 2]) };
}

function kroneckerInt4MatMul(draw: Draw): Call {
  const { attributes, inputs, outputs } = int4MatMul(draw);
  const [x, ...weights] = inputs;
  const { left, numbers } = mapOf(draw, Math.max(1, x!.dims.at(-1) ?? 1));
  return { attributes: { ...attributes, left }, inputs: [x!, numbers, ...weights], outputs };
}

function swiGluKroneckerInt4MatMul(draw: Draw): Call {
  const { attributes, inputs, outputs } = swiGluInt4MatMul(draw);
  const { block: _, order: __, scale: ___, transpose: ____, ...product } = attributes;
  const [gate, up, packed, grid, , addend] = inputs;
  const { left, numbers } = mapOf(draw, Math.max(1, gate!.dims.at(-1) ?? 1));
  return {
    attributes: { ...product, left },
    inputs: [gate!, up!, numbers, packed!, grid!, addend!],
    outputs,
  };
}

export const PACKED_DRAWINGS: Readonly<Record<string, Drawing>> = {
  PackCache: packCache,
  PackedAttention: packedAttention,
  RotaryHeads: rotaryHeads,
  PackInt4: packInt4,
  Int4MatMul: int4MatMul,
  Int4MatMulAdd: int4MatMulAdd,
  SwiGluInt4MatMul: swiGluInt4MatMul,
  KroneckerInt4MatMul: kroneckerInt4MatMul,
  SwiGluKroneckerInt4MatMul: swiGluKroneckerInt4MatMul,
};
