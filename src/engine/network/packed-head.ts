/**
 * The output layer with 8 bits a number, for products of whole numbers: each code is 16 times one of 4 bits plus another,
 * so two packed weights of 4 bits make one of 8, and need no kernel of their own.
 */
import { elementCount } from '../../protocol/tensor.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import {
  int4MatMul,
  type PackedInt4,
  packedAttributes,
  packedDims,
  packInt4,
  type RowParts,
} from '../graph/fused/int4-matmul.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { abs, add, div, less, round, scale, sub, where } from '../graph/ops/elementwise.ts';
import { reduceMax } from '../graph/ops/reduce.ts';
import { cast, reshape } from '../graph/ops/shape.ts';
import type { PanelType } from './kept-panels.ts';

/** Channels that share a scale, of a row and of a token, where rows are made of such groups. */
const GROUP = 64;
/** The largest code: 16·7 + 7, the most that two signed codes of 4 bits make. */
const LARGEST = 119;
const HALVES = ['high', 'low'] as const;

const groupOf = (width: number): number => (width % GROUP === 0 ? GROUP : width);

/** What reads the output layer: a residual after its norm, which varies about 0. */
const quantizerOf = (width: number): ActivationQuantizer => ({
  ...{ bits: 8, symmetric: true, group: groupOf(width), clipRatio: 1, includeZero: true },
});

function partsOf(width: number): RowParts {
  const groups = width / groupOf(width);
  return { groups, spans: groups, hasZeros: false };
}

const namesOf = (half: (typeof HALVES)[number]) =>
  ({ bytes: `lmHead.${half}.packed`, grid: `lmHead.${half}.grid` }) as const;

/** Types of a packed output layer [rows, width], by input name. */
export function packedHeadTypes(rows: number, width: number): readonly PanelType[] {
  const { bytes, grid } = packedDims(rows, width, partsOf(width));
  return HALVES.flatMap((half) => [
    { name: namesOf(half).bytes, dtype: 'int8', dims: bytes },
    { name: namesOf(half).grid, dtype: 'float32', dims: grid },
  ]);
}

/** Bytes of a packed output layer [rows, width]. */
export function packedHeadBytes(rows: number, width: number): number {
  const { bytes, grid } = packedDims(rows, width, partsOf(width));
  return 2 * (elementCount(bytes) + elementCount(grid) * Float32Array.BYTES_PER_ELEMENT);
}

/**
 * Packs rows w [N, d] to s c, c whole numbers −119 … 119, s [N, d/64] the largest size in a group by 119.
 * @returns outputs by the names of {@link packedHeadTypes}.
 */
export function packedHeadOutputs(w: Value): Record<string, Value> {
  const { graph } = w;
  const [rows, width] = w.dims as [number, number];
  const groups = width / groupOf(width);
  const grouped = reshape(w, [rows, groups, groupOf(width)]);
  const largest = reduceMax(abs(grouped), [-1]);
  const zero = graph.scalar(0);
  const s = where(less(zero, largest), scale(largest, 1 / LARGEST), graph.scalar(1));
  const codes = round(div(grouped, s));
  // With half a step more than the lower code is long there are no ties.
  const high = round(scale(add(codes, graph.scalar(0.5)), 1 / 16));
  const low = sub(codes, scale(high, 16));
  const scales = reshape(s, [rows, groups]);
  const packed = (part: Value, scales: Value): PackedInt4 =>
    packInt4({ codes: cast(reshape(part, [rows, width]), 'int8'), scales, zeros: null }, groups);
  const halves = { high: packed(high, scale(scales, 16)), low: packed(low, scales) };
  return Object.fromEntries(
    HALVES.flatMap((half) => {
      const names = namesOf(half);
      const { bytes, grid } = halves[half];
      return [
        [names.bytes, bytes],
        [names.grid, grid],
      ];
    }),
  );
}

/** Logits Q(x) Ŵᵀ [T, N] of x [T, d] and a packed output layer, an input of the graph. */
export function packedHeadProduct(x: Value, rows: number): Value {
  const { graph } = x;
  const width = x.dim(-1);
  const parts = partsOf(width);
  const product = (half: (typeof HALVES)[number]): Value => {
    const weight = {
      ...inputsOf(graph, half, rows, width),
      attributes: packedAttributes(rows, width, parts),
    };
    return int4MatMul(x, weight, quantizerOf(width));
  };
  return add(product('high'), product('low'));
}

function inputsOf(graph: Graph, half: (typeof HALVES)[number], rows: number, width: number) {
  const names = namesOf(half);
  const dims = packedDims(rows, width, partsOf(width));
  return {
    bytes: graph.input(names.bytes, dims.bytes, 'int8'),
    grid: graph.input(names.grid, dims.grid),
  };
}
