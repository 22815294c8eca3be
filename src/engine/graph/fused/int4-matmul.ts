import { elementCount } from '../../../protocol/tensor.ts';
import { type Attributes, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import { add, less, mul, round, scale, sub, where } from '../ops/elementwise.ts';
import { gemm } from '../ops/matmul.ts';
import { reduceSum } from '../ops/reduce.ts';
import { cast, concat, expand, padEnd, reshape, slice, toReal, transpose } from '../ops/shape.ts';
import { type ActivationQuantizer, FakeQuantize, quantizerAttributes } from './fake-quantize.ts';
import { RmsNorm } from './rms-norm.ts';

/** Rows of a weight that lie together (native-kernels/ops/int4_matmul/README.md). */
const PANEL = 16;
/** Columns in a block of 64 bytes: four in the lower halves of its bytes, four in the upper ones. */
const BLOCK = 8;
const BLOCK_BYTES = 64;
/** Parts of a row are padded to a multiple of this. */
const STEP = 32;
/** Signed codes are stored with this zero point. */
const SIGNED_ZERO = 8;

/** How a row of a packed weight is divided. */
export interface RowParts {
  /** Scales of the weight. */
  readonly groups: number;
  /** Scales of a token; a span of the row is a whole number of groups, or a group one of spans. */
  readonly spans: number;
  readonly hasZeros: boolean;
}

interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  readonly spans: number;
  /** The shorter of groups and spans are the parts of a row. */
  readonly parts: number;
  readonly part: number;
  readonly paddedPart: number;
  readonly panels: number;
  /** Blocks of a panel. */
  readonly blocks: number;
  /** Numbers of a row in the grid: its sums, then a scale per group, each followed by its zero point if there are any. */
  readonly lines: number;
}

function layoutOf(rows: number, columns: number, { groups, spans, hasZeros }: RowParts): Layout {
  const parts = Math.max(groups, spans);
  const part = columns / parts;
  const paddedPart = Math.ceil(part / STEP) * STEP;
  return {
    ...{ rows, columns, groups, spans, parts, part, paddedPart },
    panels: Math.ceil(rows / PANEL),
    blocks: (parts * paddedPart) / BLOCK,
    lines: spans + groups * (hasZeros ? 2 : 1),
  };
}

/** Shapes of a packed weight [rows, columns]: bytes, int8, and grid. */
export function packedDims(rows: number, columns: number, parts: RowParts) {
  const { panels, blocks, lines } = layoutOf(rows, columns, parts);
  return { bytes: [panels, blocks, BLOCK_BYTES], grid: [panels, lines, PANEL] } as const;
}

/**
 * Packs codes int8 [N, K] with scales [N, G] and, for unsigned codes 0 … 15, zero points [N, G]; without those codes
 * are −8 … 7. Results are bytes int8 [⌈N/16⌉, blocks, 64] and the grid [⌈N/16⌉, lines, 16] of sums Σ s (c − z) of each
 * of a row's `spans`, scales and zero points. The kernel refuses codes and zero points that do not fit.
 */
export const PackInt4: OpDefinition = {
  name: 'PackInt4',
  domain: 'spinquant',
  infer([codes, scales, zeros], attributes) {
    const dims = packedDims(codes!.dim(0), codes!.dim(1), partsOf(scales!, zeros, attributes));
    return [
      { dtype: 'int8', dims: dims.bytes },
      { dtype: scales!.dtype, dims: dims.grid },
    ];
  },
  compose([codes, scales, zeros], attributes) {
    const layout = layoutOf(codes!.dim(0), codes!.dim(1), partsOf(scales!, zeros, attributes));
    const { rows, spans, parts, part, lines } = layout;
    const inParts = reshape(toReal(codes!), [rows, parts, part]);
    const alone = (values: Value): Value => reshape(values, [rows, values.dim(1), 1]);
    const ofParts = (values: Value): Value => alone(repeated(values, parts));
    const z = zeros ? ofParts(zeros) : null;
    const sums = mul(ofParts(scales!), reduceSum(z ? sub(inParts, z) : inParts, [-1]));
    const totals = reduceSum(reshape(sums, [rows, spans, parts / spans]), [-1], false);
    const grids = [scales, zeros].flatMap((values) => (values ? [alone(values)] : []));
    const perGroup = reshape(zeros ? concat(grids, 2) : grids[0]!, [rows, lines - spans]);
    const grid = padEnd(concat([totals, perGroup], 1), 0, layout.panels * PANEL);
    return [
      packedBytes(z ? inParts : add(inParts, codes!.graph.scalar(SIGNED_ZERO)), layout),
      transpose(reshape(grid, [layout.panels, PANEL, lines]), [0, 2, 1]),
    ];
  },
};

function partsOf(scales: Value, zeros: Value | undefined, attributes: Attributes): RowParts {
  return { groups: scales.dim(1), spans: intAttribute(attributes, 'spans'), hasZeros: zeros !== undefined };
}

/** Bytes of numbers 0 … 15 [rows, parts, part]. */
function packedBytes(numbers: Value, { paddedPart, panels, blocks }: Layout): Value {
  const { graph } = numbers;
  const padded = padEnd(padEnd(numbers, 2, paddedPart), 0, panels * PANEL);
  const halves = reshape(padded, [panels, PANEL, blocks, 2, BLOCK / 2]);
  const ordered = transpose(halves, [0, 2, 3, 1, 4]);
  const byte = add(slice(ordered, 2, 0, 1), scale(slice(ordered, 2, 1, 2), 16));
  const signed = where(less(graph.scalar(127), byte), sub(byte, graph.scalar(256)), byte);
  return cast(reshape(signed, [panels, blocks, BLOCK_BYTES]), 'int8');
}

/** Numbers 0 … 15 [rows, parts, part] of bytes: what {@link packedBytes} packed. */
function unpacked(bytes: Value, { rows, parts, part, paddedPart, panels, blocks }: Layout): Value {
  const { graph } = bytes;
  const signed = toReal(bytes);
  const byte = where(less(signed, graph.scalar(0)), add(signed, graph.scalar(256)), signed);
  // With the lower half less 7.5 there are no ties: a sixteenth of it is less than one half in size.
  const high = round(scale(sub(byte, graph.scalar(7.5)), 1 / 16));
  const low = sub(byte, scale(high, 16));
  const halves = [low, high].map((half) => reshape(half, [panels, blocks, 1, PANEL, BLOCK / 2]));
  const ordered = transpose(concat(halves, 2), [0, 3, 1, 2, 4]);
  const all = reshape(ordered, [panels * PANEL, parts, paddedPart]);
  return slice(slice(all, 2, 0, part), 0, 0, rows);
}

/** Ŵ = s (u − z) [rows, columns] of what {@link PackInt4} gives. */
function unpackedWeight(bytes: Value, grid: Value, layout: Layout): Value {
  const { rows, columns, groups, spans, panels, lines } = layout;
  const perRow = reshape(transpose(grid, [0, 2, 1]), [panels * PANEL, lines]);
  const numbers = (lines - spans) / groups;
  const perGroup = reshape(slice(slice(perRow, 1, spans, lines), 0, 0, rows), [rows, groups, 1, numbers]);
  const zero = numbers === 2 ? slice(perGroup, 3, 1, 2) : grid.graph.scalar(SIGNED_ZERO);
  const inGroups = reshape(unpacked(bytes, layout), [rows, groups, columns / groups, 1]);
  return reshape(mul(slice(perGroup, 3, 0, 1), sub(inGroups, zero)), [rows, columns]);
}

/** Attributes with the rows of the weights that share what a product reads. */
const ROWS = ['rows', 'rows2', 'rows3'] as const;

/** The most weights that one {@link Int4MatMul} multiplies. */
export const MOST_WEIGHTS = ROWS.length;

/** Rows of each weight. */
const rowsOfWeights = (attributes: Attributes): number[] =>
  ROWS.map((name) => intAttribute(attributes, name, 0)).filter((rows) => rows > 0);

/**
 * Computes Q(x) Ŵᵀ [..., N] of x [..., K] and what {@link PackInt4} gives, for up to three weights that share a
 * quantizer. Attributes are those of FakeQuantize, whose `group` is `activation_group` here (0: the whole row), a multiple
 * or a divisor of the weights' `group`; `rows`, `rows2` and `rows3` are N, and `zero_points` 1 where the weights have these. With
 * `norm` it is Q(RmsNorm(x)). The kernel multiplies whole numbers and sums in int32: what float32 rounds is one sum over
 * the groups, not one over K.
 */
export const Int4MatMul: OpDefinition = {
  name: 'Int4MatMul',
  domain: 'spinquant',
  infer: ([x], attributes) =>
    rowsOfWeights(attributes).map((rows) => ({ dtype: x!.dtype, dims: x!.dims.with(-1, rows) })),
  compose([x, ...weights], attributes) {
    return packedProducts(normedRows(x!, attributes), weights, attributes);
  },
};

/** x, or RmsNorm(x) where the attributes of a product say so. */
export function normedRows(x: Value, attributes: Attributes): Value {
  return intAttribute(attributes, 'norm', 0) === 1 ? RmsNorm.compose!([x], attributes)[0]! : x;
}

/** Q(x) times each weight. @param weights the bytes and the grid of each. */
export function packedProducts(x: Value, weights: readonly Value[], attributes: Attributes): Value[] {
  const quantized = quantizedRows(x, attributes);
  return rowsOfWeights(attributes).map((rows, i) =>
    packedProduct(quantized, weights[2 * i]!, weights[2 * i + 1]!, { ...attributes, rows }),
  );
}

/** Q(x) by the attributes of a product. */
export function quantizedRows(x: Value, attributes: Attributes): Value {
  const columns = x.dim(-1);
  const rows = reshape(x, [elementCount(x.dims) / columns, columns]);
  const group = intAttribute(attributes, 'activation_group');
  return reshape(FakeQuantize.compose!([rows], { ...attributes, group })[0]!, x.dims);
}

/** x Ŵᵀ in standard operators. @param quantized x [..., K]. */
export function packedProduct(quantized: Value, bytes: Value, grid: Value, attributes: Attributes): Value {
  const columns = quantized.dim(-1);
  const parts = (name: string): number => columns / (intAttribute(attributes, name) || columns);
  const layout = layoutOf(intAttribute(attributes, 'rows'), columns, {
    ...{ groups: parts('group'), spans: parts('activation_group') },
    hasZeros: intAttribute(attributes, 'zero_points') === 1,
  });
  const rows = reshape(quantized, [elementCount(quantized.dims) / columns, columns]);
  const product = gemm(rows, unpackedWeight(bytes, grid, layout), { transB: true });
  return reshape(product, quantized.dims.with(-1, layout.rows));
}

/** A weight [rows, columns] with 4 bits per number, as the kernel reads it. */
export interface PackedInt4 {
  readonly bytes: Value;
  readonly grid: Value;
  /** `rows`, `group`, `activation_group` and `zero_points` of {@link Int4MatMul}. */
  readonly attributes: Attributes;
}

/** Codes of 4 bits int8 [N, K] with scales and zero points [N, G]; null for signed codes, whose zero point is 0. */
export interface Int4Codes {
  readonly codes: Value;
  readonly scales: Value;
  readonly zeros: Value | null;
}

/** The groups that a packed weight has for readers of `spans`: its own, or smaller ones where neither divides the other. */
export function packedParts(
  columns: number,
  weight: { readonly groups: number; readonly hasZeros: boolean },
  spans: number,
): RowParts {
  const [group, span] = [columns / weight.groups, columns / spans];
  const groups = group % span === 0 ? weight.groups : columns / commonDivisor(group, span);
  return { groups, spans, hasZeros: weight.hasZeros };
}

const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));

/** The attributes of a product with a packed weight [rows, columns]. */
export function packedAttributes(rows: number, columns: number, parts: RowParts): Attributes {
  const width = (count: number): number => (count === 1 ? 0 : columns / count);
  return {
    rows,
    ...{ group: width(parts.groups), activation_group: width(parts.spans) },
    zero_points: parts.hasZeros ? 1 : 0,
  };
}

/** Packs a weight Ŵ = s (c − z). @param spans scales that a token has for it. */
export function packInt4({ codes, scales, zeros }: Int4Codes, spans = 1): PackedInt4 {
  const [rows, columns] = codes.dims as [number, number];
  const parts = packedParts(columns, { groups: scales.dim(1), hasZeros: zeros !== null }, spans);
  const grid = [scales, zeros].flatMap((values) => (values ? [repeated(values, parts.groups)] : []));
  const [bytes, packed] = codes.graph.apply(PackInt4, [codes, ...grid], { spans }) as [Value, Value];
  return { bytes, grid: packed, attributes: packedAttributes(rows, columns, parts) };
}

/** [N, G] for more groups, each a part of one of these. */
function repeated(values: Value, groups: number): Value {
  const [rows, given] = values.dims as [number, number];
  if (given === groups) return values;
  const each = expand(reshape(values, [rows, given, 1]), [rows, given, groups / given]);
  return reshape(each, [rows, groups]);
}

/** True where rows [..., n] that are quantized so can be multiplied by packed weights. */
export function quantizesForInt4({ bits, group }: ActivationQuantizer, n: number): boolean {
  return bits <= 8 && (group === 0 || n % group === 0);
}

/** Scales that a row of n has. */
export const spansOf = ({ group }: Pick<ActivationQuantizer, 'group'>, n: number): number =>
  group === 0 ? 1 : n / group;

/** Multiplies Q(x), x [..., K], by Ŵᵀ. {@link int4MatMuls} for one weight. */
export function int4MatMul(x: Value, weight: PackedInt4, quantizer: ActivationQuantizer): Value {
  return int4MatMuls(x, [weight], quantizer)[0]!;
}

/**
 * Multiplies Q(x), x [..., K], by each Ŵᵀ. x is quantized once.
 * @param weights up to {@link MOST_WEIGHTS}, packed alike but for their rows.
 * @param quantizer one that {@link quantizesForInt4} allows, with the spans that the weights were packed for.
 */
export function int4MatMuls(
  x: Value,
  weights: readonly PackedInt4[],
  quantizer: ActivationQuantizer,
): Value[] {
  const { group: _, ...ofRows } = quantizerAttributes(quantizer, 0);
  const rows = weights.map(({ attributes }, i) => [ROWS[i]!, attributes.rows!] as const);
  return x.graph.apply(Int4MatMul, [x, ...weights.flatMap(({ bytes, grid }) => [bytes, grid])], {
    ...{ ...weights[0]!.attributes, ...Object.fromEntries(rows) },
    ...ofRows,
  });
}
