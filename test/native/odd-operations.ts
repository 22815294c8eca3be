/** Draws calls of every operator at the edges: empty tensors, order 1, inputs left out, attributes of odd values. */
import { appendTokens, cachedAttention, halfAttention, tokenBlocks } from './odd-caches.ts';
import {
  type Call,
  countOf,
  type Draw,
  type Drawing,
  grouped,
  type Numbers,
  ODD_INTEGERS,
  ODD_NUMBERS,
  quantizer,
  rowsShape,
  sometimes,
  tensor,
} from './odd-draw.ts';
import { PACKED_DRAWINGS } from './odd-packed.ts';
import type { Operation } from './support.ts';

function hadamard(draw: Draw): Call {
  const order = draw.one([1, 1, 12, 20, 28]);
  const block = order * 2 ** draw.below(6);
  const x = tensor(draw, rowsShape(draw, block * draw.below(4)));
  const m =
    order === 1
      ? draw.one([null, tensor(draw, [1, 1]), tensor(draw, [0]), tensor(draw, [0, 0])])
      : tensor(draw, [order, order]);
  return {
    attributes: { block, order, transpose: draw.flag(), scale: 0.5 },
    inputs: [x, m],
    outputs: [x.data.length],
  };
}

const kronecker: Drawing = (draw) => {
  const [left, right] = [1 + draw.below(20), draw.size()];
  const x = tensor(draw, rowsShape(draw, left * right));
  const numbers = tensor(draw, [left * right + left ** 2 + right ** 2 + draw.below(2)]);
  return { attributes: { left }, inputs: [x, numbers], outputs: [x.data.length] };
};

const fakeQuantize: Drawing = (draw) => {
  const { width, group } = grouped(draw);
  const x = tensor(draw, rowsShape(draw, width));
  return { attributes: { ...quantizer(draw), group }, inputs: [x], outputs: [x.data.length] };
};

const quantizeRows: Drawing = (draw) => {
  const x = tensor(draw, rowsShape(draw, draw.size()));
  const rows = countOf(x.dims.slice(0, -1));
  return { attributes: quantizer(draw), inputs: [x], outputs: [x.data.length, rows] };
};

/** Operators whose inputs all have one shape. */
const alike =
  (inputs: number, outputs: number, attributes: (draw: Draw) => Numbers = () => ({})): Drawing =>
  (draw) => {
    const dims = rowsShape(draw, draw.chance(0.1) ? 2100 : draw.size());
    const tensors = Array.from({ length: inputs }, () => tensor(draw, dims));
    const count = tensors[0]!.data.length;
    return { attributes: attributes(draw), inputs: tensors, outputs: Array(outputs).fill(count) };
  };

const epsilon = () => ({ epsilon: 1e-5 });

function weightQuantize(draw: Draw): Call {
  const { width, group } = grouped(draw);
  const dims = rowsShape(draw, width);
  const ratios = [...dims.slice(0, -1), group > 0 ? width / group : 1];
  const attributes = { bits: 2 + draw.below(7), group, symmetric: draw.flag(), clip_search: draw.flag() };
  return {
    attributes,
    inputs: [tensor(draw, dims), sometimes(draw, ratios)],
    outputs: [countOf(dims), countOf(ratios)],
  };
}

function attention(draw: Draw, gradient: boolean): Call {
  const [groups, repeats, width] = [draw.one([0, 1, 1, 2, 2]), 1 + draw.below(3), draw.size()];
  const rows = 1 + draw.size();
  const keys = rows + draw.one([0, 0, 1, 40]);
  const [q, k] = [
    [groups, repeats * rows, width],
    [groups, keys, width],
  ];
  const window = draw.one([0, 0, 1, 7, keys, keys - 1, 2 ** 31, 2 ** 32, 2 ** 53]);
  const pieces = draw.one([0, 1, 2]);
  const attributes = { scale: 0.3, window, rows, pieces, score_pieces: draw.one([1, 2]) };
  const qkv = [tensor(draw, q), tensor(draw, k), tensor(draw, k)];
  const units = sometimes(draw, k.slice(0, -1));
  if (!gradient)
    return { attributes, inputs: [...qkv, units], outputs: [countOf(q), groups * repeats * rows] };
  const rest = [tensor(draw, q), tensor(draw, q.slice(0, -1)), tensor(draw, q), units];
  return { attributes, inputs: [...qkv, ...rest], outputs: [countOf(q), countOf(k), countOf(k)] };
}

/** M, K and N of a product, and a factor as it lies in memory. */
function product(draw: Draw) {
  const [m, k, n] = [draw.size(), draw.size(), draw.size()];
  const pieces = draw.one([1, 2, 3]);
  return { m, k, n, pieces, stored: (a: number, b: number, turned: number) => (turned ? [b, a] : [a, b]) };
}

function gemmBfloat16(draw: Draw): Call {
  const { m, k, n, pieces, stored } = product(draw);
  const transB = draw.flag();
  const b = stored(k, n, transB);
  const inputs = [
    tensor(draw, [m, k]),
    tensor(draw, b, 'bfloat16'),
    sometimes(draw, [b[0]!]),
    sometimes(draw, [m]),
  ];
  return { attributes: { transB, pieces, bytes: draw.flag() }, inputs, outputs: [m * n] };
}

function gemmAdd(draw: Draw): Call {
  const { m, k, n, pieces, stored } = product(draw);
  const transB = draw.flag();
  const inputs = [tensor(draw, [m, k]), tensor(draw, stored(k, n, transB), 'bfloat16'), tensor(draw, [m, n])];
  return { attributes: { transB, pieces, bytes: draw.flag() }, inputs, outputs: [m * n] };
}

function headLoss(draw: Draw): Call {
  const [t, k, n] = [draw.rows(), draw.size(), 1 + draw.size()];
  const labels = BigInt64Array.from({ length: t }, () => BigInt(draw.below(n + 1) - 1));
  return {
    attributes: {},
    inputs: [tensor(draw, [t, k]), tensor(draw, [n, k], 'bfloat16'), { data: labels, dims: [t] }],
    outputs: [t],
  };
}

function storedRows(draw: Draw): Call {
  const [t, k, n] = [draw.rows(), draw.size(), draw.size()];
  return {
    attributes: {},
    inputs: [tensor(draw, [t, k]), tensor(draw, [n, k], 'bfloat16')],
    outputs: [t * n],
  };
}

function splitGemm(draw: Draw): Call {
  const { m, k, n, pieces, stored } = product(draw);
  const [transA, transB, unitsOfB] = [draw.flag(), draw.flag(), draw.flag()];
  const [a, b] = [stored(m, k, transA), stored(k, n, transB)];
  const inputs = [tensor(draw, a), tensor(draw, b), sometimes(draw, [(unitsOfB ? b : a)[0]!])];
  return { attributes: { transA, transB, unitsOfB, pieces, bytes: draw.flag() }, inputs, outputs: [m * n] };
}

function codeGemm(draw: Draw): Call {
  const { m, k, n, pieces, stored } = product(draw);
  const [codesOfB, transposeOther] = [draw.flag(), draw.flag()];
  const codes = codesOfB ? [k, n] : [m, k];
  const other = codesOfB ? stored(m, k, transposeOther) : stored(k, n, transposeOther);
  const inputs = [tensor(draw, codes, 'int8'), tensor(draw, [codes[0]!]), tensor(draw, other)];
  return { attributes: { codesOfB, transposeOther, pieces, bytes: draw.flag() }, inputs, outputs: [m * n] };
}

function rowMultiples(draw: Draw): Call {
  const dims = rowsShape(draw, draw.size());
  const inputs = [tensor(draw, dims, 'int8'), tensor(draw, dims.slice(0, -1))];
  return { attributes: {}, inputs, outputs: [countOf(dims)] };
}

function peakLossGrad(draw: Draw): Call {
  const dims = rowsShape(draw, draw.size());
  const inputs = [tensor(draw, dims), tensor(draw, dims.with(-1, 1))];
  return { attributes: { temperature: 2, epsilon: 1e-6 }, inputs, outputs: [countOf(dims)] };
}

function peakLoss(draw: Draw): Call {
  const { inputs, ...call } = peakLossGrad(draw);
  return { ...call, inputs: inputs.slice(0, 1), outputs: [inputs[1]!.data.length] };
}

function swapAxes(draw: Draw): Call {
  const x = tensor(draw, [draw.below(3), draw.rows(), draw.rows(), draw.size()]);
  return { attributes: {}, inputs: [x], outputs: [x.data.length] };
}

function widen(draw: Draw): Call {
  const x = tensor(draw, rowsShape(draw, draw.size()), 'bfloat16');
  return { attributes: {}, inputs: [x], outputs: [x.data.length] };
}

function rotary(draw: Draw): Call {
  const [positions, half] = [draw.rows(), draw.size()];
  const table = [positions, half];
  const x = tensor(
    draw,
    draw.one([
      [positions, 2 * half],
      [draw.below(3), 2, positions, 2 * half],
    ]),
  );
  const inputs = [x, tensor(draw, table), tensor(draw, table)];
  return { attributes: { inverse: draw.flag() }, inputs, outputs: [x.data.length] };
}

function tokenLoss(draw: Draw, gradient: boolean): Call {
  const [tokens, vocabulary] = [draw.rows(), draw.one([0, 9, 10, 64, 2049, 2100])];
  const inputs = [tensor(draw, [tokens, vocabulary]), tensor(draw, [tokens], 'int64')];
  if (!gradient) return { attributes: {}, inputs, outputs: [tokens] };
  return {
    attributes: {},
    inputs: [...inputs, tensor(draw, [tokens])],
    outputs: [tokens * vocabulary, tokens],
  };
}

function activationStatistics(draw: Draw): Call {
  const { width, group } = grouped(draw);
  const rows = draw.rows();
  const [blockRows, bins] = [draw.one([1, 2, 3, 64, 2 ** 53]), draw.one([2, 16, 128])];
  const [blocks, groups] = [Math.ceil(rows / blockRows), rows * (group > 0 ? width / group : 1)];
  const inputs = [tensor(draw, [rows, width]), tensor(draw, [rows, width])];
  const outputs = [6 * blocks, blocks * width, blocks * bins, groups, groups];
  return { attributes: { block_rows: blockRows, group, bins }, inputs, outputs };
}

function reverseCholesky(draw: Draw): Call {
  const n = draw.size();
  return { attributes: { damping: 0.1 }, inputs: [tensor(draw, [n, n])], outputs: [n * n] };
}

function gptqRound(draw: Draw): Call {
  const [m, size, groups] = [draw.rows(), draw.size(), 1 + draw.below(3)];
  const n = size * groups;
  const scale = [m, groups];
  const inputs = [tensor(draw, [m, n]), tensor(draw, [n, n]), tensor(draw, scale), tensor(draw, scale)];
  const order = { data: BigInt64Array.from({ length: n }, (_, i) => BigInt(n - 1 - i)), dims: [n] };
  const ordered = draw.one([inputs, [...inputs, order], [...inputs, order, tensor(draw, [n, n])]]);
  const attributes = { bits: 2 + draw.below(7), beta: draw.one([0, 0.1, 1]) };
  return { attributes, inputs: ordered, outputs: [m * n] };
}

function gptqSweep(draw: Draw): Call {
  const [m, size, groups] = [draw.rows(), draw.size(), 1 + draw.below(3)];
  const n = size * groups;
  const codes = { data: Int8Array.from({ length: m * n }, () => draw.below(256) - 128), dims: [m, n] };
  const grid = [tensor(draw, [m, groups]), tensor(draw, [m, groups])];
  const inputs = [tensor(draw, [m, n]), tensor(draw, [n, n]), codes, ...grid];
  return {
    attributes: { bits: 2 + draw.below(7), sweeps: 1 + draw.below(3), damping: 0.1 },
    inputs,
    outputs: [m * n],
  };
}

function secondMoment(draw: Draw): Call {
  const n = draw.size();
  return {
    attributes: {},
    inputs: [tensor(draw, [draw.size(), n]), tensor(draw, [n, n])],
    outputs: [n * n],
  };
}

function latticeRound(draw: Draw): Call {
  const [m, blocks] = [draw.below(70), draw.below(5)];
  const n = 8 * blocks;
  const panels = [blocks, n, 8];
  const inputs = [tensor(draw, [m, n]), tensor(draw, panels), tensor(draw, panels)];
  return {
    attributes: { bits: 2 + draw.below(3), sweeps: draw.below(3) },
    inputs,
    outputs: [m * n, m * n],
  };
}

const DRAWINGS: Readonly<Record<string, Drawing>> = {
  Hadamard: hadamard,
  Kronecker: kronecker,
  FakeQuantize: fakeQuantize,
  FakeQuantizeRows: quantizeRows,
  QuantizeRows: quantizeRows,
  RowMultiples: rowMultiples,
  FakeQuantizeScaleGrad: alike(3, 1, (draw) => ({ symmetric: draw.flag(), include_zero: draw.flag() })),
  FakeQuantizeWeight: weightQuantize,
  CausalAttention: (draw) => attention(draw, false),
  CausalAttentionGrad: (draw) => attention(draw, true),
  CachedAttention: cachedAttention,
  HalfAttention: halfAttention,
  GemmBfloat16: gemmBfloat16,
  GemmBfloat16Add: gemmAdd,
  SplitGemm: splitGemm,
  CodeGemm: codeGemm,
  PeakLoss: peakLoss,
  PeakLossGrad: peakLossGrad,
  RmsNorm: alike(1, 1, epsilon),
  RmsNormGrad: alike(2, 1, epsilon),
  HeadLoss: headLoss,
  StoredRows: storedRows,
  SwapAxes: swapAxes,
  Widen: widen,
  SwiGlu: alike(2, 1),
  SwiGluGrad: alike(3, 2),
  RotaryEmbedding: rotary,
  TokenLoss: (draw) => tokenLoss(draw, false),
  TokenLossGrad: (draw) => tokenLoss(draw, true),
  ActivationStatistics: activationStatistics,
  ReverseCholesky: reverseCholesky,
  GptqRound: gptqRound,
  GptqSweep: gptqSweep,
  SecondMoment: secondMoment,
  LatticeRound: latticeRound,
  ...PACKED_DRAWINGS,
  AppendTokens: appendTokens,
  TokenBlocks: tokenBlocks,
};

/** Attributes that are never fractions. */
const isNumber = (name: string): boolean => /scale|ratio|epsilon|temperature|damping/.test(name);

/** One attribute in a call of twelve has an odd value; an input in a call of twenty is left out. */
function withOddities(draw: Draw, call: Call): Call {
  const names = Object.keys(call.attributes);
  const name = draw.one(names);
  const odd = name !== undefined && draw.chance(1 / 12);
  const value = name !== undefined && isNumber(name) ? draw.one(ODD_NUMBERS) : draw.one(ODD_INTEGERS);
  const missing = draw.chance(1 / 20) ? draw.below(call.inputs.length) : -1;
  return {
    attributes: odd ? { ...call.attributes, [name]: value } : call.attributes,
    inputs: call.inputs.map((input, i) => (i === missing ? null : input)),
    outputs: call.outputs,
  };
}

/** Operators that calls are drawn of. */
export const DRAWN: readonly string[] = Object.keys(DRAWINGS);

/** Draws a call of an operator. */
export function drawOperation(draw: Draw, name: string): Operation {
  return { name, ...withOddities(draw, DRAWINGS[name]!(draw)) };
}
