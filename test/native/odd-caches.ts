/** Draws calls of the operators that read and write caches. */
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { type Call, countOf, type Dims, type Draw, tensor } from './odd-draw.ts';
import { packedBlock, packedForm, rowsOf } from './odd-packed.ts';

export const cachedAttention = (draw: Draw): Call => overNumbers(draw, 'float32');

/** It has keys and values as halves beside its result. */
export function halfAttention(draw: Draw): Call {
  const call = overNumbers(draw, 'float16');
  const own = call.inputs.slice(1, 3).map((input) => countOf(input!.dims));
  return { ...call, outputs: [...call.outputs, ...own] };
}

function overNumbers(draw: Draw, dtype: 'float16' | 'float32'): Call {
  const [groups, repeats, width] = [draw.one([0, 1, 2, 3, 4]), 1 + draw.below(3), draw.size()];
  const [rows, capacity] = [1 + draw.size(), draw.size()];
  const of = (count: number): Dims => [groups, count, width];
  const [q, own, past] = [of(repeats * rows), of(rows), of(capacity)];
  const window = draw.one([0, 0, 1, 7, rows, capacity + rows, 2 ** 32, 2 ** 53]);
  const floats = [
    ...[q, own, own].map((dims) => tensor(draw, dims)),
    ...[past, past].map((dims) => tensor(draw, dims, dtype)),
  ];
  const within: ProbeTensor = { data: BigInt64Array.of(BigInt(draw.below(capacity + 1))), dims: [1] };
  const inputs = [...floats, draw.chance(0.9) ? within : tensor(draw, [1], 'int64')];
  return {
    attributes: { scale: 0.3, window, ...rowsOf(draw, rows, repeats) },
    inputs,
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
