import { elementCount } from '../../../protocol/tensor.ts';
import { type Attributes, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import {
  abs,
  add,
  div,
  less,
  maximum,
  minimum,
  mul,
  neg,
  round,
  scale,
  sub,
  where,
} from '../ops/elementwise.ts';
import { reduceMin } from '../ops/reduce.ts';
import { cast, concat, padEnd, reshape, slice, toReal, transpose } from '../ops/shape.ts';
import {
  type ActivationQuantizer,
  asymmetricGrid,
  codesFrom,
  onGrid,
  quantizerAttributes,
} from './fake-quantize.ts';
import { headShape, turnedHeads } from './rotary-heads.ts';

/** Tokens whose codes lie together (native-kernels/ops/packed_cache/README.md). */
export const BLOCK_TOKENS = 16;
/** Zero points are stored in 16 bits. */
const WIDEST_ZERO = 32767;

/** These settings of a quantizer decide how its codes are stored. */
export type CacheForm = Pick<ActivationQuantizer, 'bits' | 'symmetric' | 'group'>;

/** How a head's tokens lie in memory. */
export interface PackedLayout {
  readonly width: number;
  /** Channels that share a scale. */
  readonly group: number;
  readonly groups: number;
  /** Bits of a stored code. */
  readonly bits: 4 | 8;
  readonly hasZeros: boolean;
  /** Codes in a word of 32 bits, and words of a group. */
  readonly perWord: number;
  readonly groupWords: number;
  /** Bytes of a block's codes, and with its zero points. */
  readonly codeBytes: number;
  readonly blockBytes: number;
  /** Scales of a block. */
  readonly blockScales: number;
}

/** The layout of heads of so many channels. */
export function packedLayout(width: number, { bits, symmetric, group: shared }: CacheForm): PackedLayout {
  const [stored, group] = [bits > 4 ? (8 as const) : (4 as const), shared || width];
  const [groups, perWord] = [width / group, 32 / stored];
  const groupWords = Math.ceil(group / perWord);
  const codeBytes = BLOCK_TOKENS * groups * groupWords * 4;
  const blockScales = groups * BLOCK_TOKENS;
  const blockBytes = codeBytes + (symmetric ? 0 : 2 * blockScales);
  const hasZeros = !symmetric;
  return {
    width,
    group,
    groups,
    bits: stored,
    hasZeros,
    perWord,
    groupWords,
    codeBytes,
    blockBytes,
    blockScales,
  };
}

/** Bytes of one token of one head, scales and zero points included. */
export function packedTokenBytes(width: number, form: CacheForm): number {
  const { blockBytes, blockScales } = packedLayout(width, form);
  return (blockBytes + blockScales * Float32Array.BYTES_PER_ELEMENT) / BLOCK_TOKENS;
}

export const blocksOf = (tokens: number): number => Math.ceil(tokens / BLOCK_TOKENS);

/** Packed tokens: codes int8 [..., blocks, bytes] and scales [..., blocks, groups·16]. */
export interface PackedTokens {
  readonly codes: Value;
  readonly scales: Value;
}

const layoutFrom = (width: number, attributes: Attributes): PackedLayout =>
  packedLayout(width, {
    bits: intAttribute(attributes, 'bits'),
    symmetric: intAttribute(attributes, 'symmetric') === 1,
    group: intAttribute(attributes, 'group'),
  });

/** Tokens [..., n, h] of the operator, as they are without what is done to them first. */
function tokensOf(x: Value, attributes: Attributes): Pick<Value, 'dims'> {
  const shape = headShape(x, attributes);
  return shape ? { dims: [shape.sequences, shape.heads, shape.tokens, shape.width] } : x;
}

/**
 * Quantizes tokens [..., n, h] by FakeQuantize's rules, and packs their codes. Tables and a matrix may follow x, and rows
 * of heads may stand in place of tokens: {@link turnedHeads} makes tokens of them. Attributes are those of FakeQuantize;
 * `keys` is 1 where words of one token are to lie apart, as scores read them. Groups of one value, and those whose zero
 * point would not fit 16 bits, are stored as native-kernels/ops/packed_cache/packed_cache.h says.
 */
export const PackCache: OpDefinition = {
  name: 'PackCache',
  domain: 'spinquant',
  infer([x], attributes) {
    const { dims } = tokensOf(x!, attributes);
    const { blockBytes, blockScales } = layoutFrom(dims.at(-1)!, attributes);
    const [heads, blocks] = [dims.slice(0, -2), blocksOf(dims.at(-2)!)];
    return [
      { dtype: 'int8', dims: [...heads, blocks, blockBytes] },
      { dtype: x!.dtype, dims: [...heads, blocks, blockScales] },
    ];
  },
  compose(inputs, attributes) {
    const x = turnedHeads(inputs, attributes);
    const layout = layoutFrom(x.dim(-1), attributes);
    const { group, groups, codeBytes, blockScales } = layout;
    const [tokens, lead] = [x.dim(-2), x.dims.slice(0, -2)];
    const heads = elementCount(lead);
    const grid = gridOf(reshape(x, [heads * tokens * groups, group]), attributes, layout);
    const blocks = blocksOf(tokens);
    /** Numbers of each token [heads·tokens·groups, n] to [heads, blocks, 16, groups, n]. */
    const inBlocks = (values: Value, size: number): Value => {
      const perToken = padEnd(reshape(values, [heads, tokens, groups, values.dim(-1)]), 3, size);
      return reshape(padEnd(perToken, 1, blocks * BLOCK_TOKENS), [heads, blocks, BLOCK_TOKENS, groups, size]);
    };
    const codes = packedCodes(inBlocks(grid.codes, layout.groupWords * layout.perWord), layout, attributes);
    const perGroup = (values: Value): Value => transpose(inBlocks(values, 1), [0, 1, 3, 2, 4]);
    const bytes = reshape(codes, [heads, blocks, codeBytes]);
    const all = layout.hasZeros
      ? concat([bytes, reshape(zeroBytes(perGroup(grid.zero)), [heads, blocks, 2 * blockScales])], 2)
      : bytes;
    return [
      reshape(cast(all, 'int8'), [...lead, blocks, layout.blockBytes]),
      reshape(perGroup(grid.scale), [...lead, blocks, blockScales]),
    ];
  },
};

/** Codes of rows [rows, group], with scales and zero points [rows, 1]. */
function gridOf(
  rows: Value,
  attributes: Attributes,
  { bits }: PackedLayout,
): Record<'codes' | 'scale' | 'zero', Value> {
  const { graph } = rows;
  if (intAttribute(attributes, 'symmetric') === 1) {
    const { scale: s, multiples } = onGrid(rows, attributes);
    const middle = graph.scalar(2 ** (bits - 1));
    return { codes: add(multiples, middle), scale: s, zero: middle };
  }
  const levels = intAttribute(attributes, 'bits');
  const grid = asymmetricGrid(rows, attributes);
  const widest = graph.scalar(WIDEST_ZERO);
  const isWide = less(widest, abs(grid.zero));
  const s = where(isWide, div(maximum(abs(grid.lo), abs(grid.hi)), widest), grid.scale);
  const zero = maximum(minimum(round(div(neg(grid.lo), s)), widest), graph.scalar(-WIDEST_ZERO));
  const codes = codesFrom(rows, s, zero, levels);
  return {
    codes: where(grid.constant, graph.scalar(0), codes),
    scale: where(grid.constant, reduceMin(rows, [-1]), s),
    zero: where(grid.constant, graph.scalar(-1), zero),
  };
}

/** Bytes as numbers −128 … 127 of codes [heads, blocks, 16, groups, codes of a group]. */
function packedCodes(
  codes: Value,
  { bits, groups, groupWords, perWord }: PackedLayout,
  attributes: Attributes,
): Value {
  const [heads, blocks] = codes.dims as [number, number];
  const words = reshape(codes, [heads, blocks, BLOCK_TOKENS, groups * groupWords, perWord]);
  const ordered = intAttribute(attributes, 'keys') === 1 ? transpose(words, [0, 1, 3, 2, 4]) : words;
  if (bits === 8) return asSigned(ordered);
  const pairs = reshape(ordered, [elementCount(ordered.dims) / 2, 2]);
  return asSigned(add(slice(pairs, 1, 0, 1), scale(slice(pairs, 1, 1, 2), 16)));
}

/** Two bytes for each of whole numbers [..., 1], the lower one first. */
function zeroBytes(numbers: Value): Value {
  // With 127.5 less there are no ties.
  const high = round(scale(sub(numbers, numbers.graph.scalar(127.5)), 1 / 256));
  return concat([asSigned(sub(numbers, scale(high, 256))), high], numbers.rank - 1);
}

/** 0 … 255 as −128 … 127. */
function asSigned(byte: Value): Value {
  const { graph } = byte;
  return where(less(graph.scalar(127), byte), sub(byte, graph.scalar(256)), byte);
}

function asUnsigned(signed: Value): Value {
  const { graph } = signed;
  return where(less(signed, graph.scalar(0)), add(signed, graph.scalar(256)), signed);
}

/** The numbers s (c − z) [..., blocks·16, h] that packed tokens stand for. */
export function unpackedTokens(
  { codes, scales }: PackedTokens,
  layout: PackedLayout,
  areKeys: boolean,
): Value {
  const { group, groups, groupWords, perWord, codeBytes, blockBytes } = layout;
  const [lead, blocks] = [codes.dims.slice(0, -2), codes.dim(-2)];
  const heads = elementCount(lead);
  const bytes = toReal(reshape(codes, [heads, blocks, blockBytes]));
  const words = groups * groupWords;
  const stored = areKeys ? [words, BLOCK_TOKENS] : [BLOCK_TOKENS, words];
  const numbers = reshape(unpackedCodes(slice(bytes, 2, 0, codeBytes), layout), [
    heads,
    blocks,
    ...stored,
    perWord,
  ]);
  const byToken = reshape(areKeys ? transpose(numbers, [0, 1, 3, 2, 4]) : numbers, [
    ...[heads, blocks, BLOCK_TOKENS, groups, groupWords * perWord],
  ]);
  const perGroup = (values: Value): Value =>
    transpose(reshape(values, [heads, blocks, groups, BLOCK_TOKENS, 1]), [0, 1, 3, 2, 4]);
  const zero = layout.hasZeros
    ? perGroup(unpackedZeros(slice(bytes, 2, codeBytes, blockBytes)))
    : bytes.graph.scalar(2 ** (layout.bits - 1));
  const values = mul(perGroup(scales), sub(slice(byToken, 4, 0, group), zero));
  return reshape(values, [...lead, blocks * BLOCK_TOKENS, layout.width]);
}

function unpackedCodes(signed: Value, { bits }: PackedLayout): Value {
  const byte = asUnsigned(reshape(signed, [elementCount(signed.dims), 1]));
  if (bits === 8) return byte;
  // With the lower half less 7.5 there are no ties: a sixteenth of it is less than one half in size.
  const high = round(scale(sub(byte, byte.graph.scalar(7.5)), 1 / 16));
  return concat([sub(byte, scale(high, 16)), high], 1);
}

function unpackedZeros(signed: Value): Value {
  const pairs = reshape(signed, [elementCount(signed.dims) / 2, 2]);
  return add(asUnsigned(slice(pairs, 1, 0, 1)), scale(slice(pairs, 1, 1, 2), 256));
}

/** Quantizes and packs the tokens [..., n, h] of a cache. @param role what reads them. */
export function packCache(x: Value, quantizer: ActivationQuantizer, role: 'keys' | 'values'): PackedTokens {
  const group = quantizer.group === x.dim(-1) ? 0 : quantizer.group;
  const attributes = { ...quantizerAttributes(quantizer, group), keys: role === 'keys' ? 1 : 0 };
  const [codes, scales] = x.graph.apply(PackCache, [x], attributes) as [Value, Value];
  return { codes, scales };
}
