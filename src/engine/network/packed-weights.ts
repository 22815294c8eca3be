/** Weights of 4 bits as products of whole numbers take them, and where a layer has such products. */
import { LINEARS, type Linear } from '../../protocol/block.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import {
  type PackedInt4,
  packedAttributes,
  packedDims,
  packedParts,
  packInt4,
  quantizesForInt4,
  type RowParts,
  spansOf,
} from '../graph/fused/int4-matmul.ts';
import { hasRowCodes, type WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { add } from '../graph/ops/elementwise.ts';
import { cast, toReal } from '../graph/ops/shape.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerWeights } from '../model/weights.ts';
import type { PanelType } from './kept-panels.ts';
import { type LayerQuantizers, type LayerShape, type WeightForm, weightQuantizer } from './layer-shape.ts';
import { type NetworkQuantizers, quantizersOfLayers } from './network-quantizers.ts';

/** The most bits of a code. */
const BITS = 4;
/** Codes of a byte, −8 … 7, are packed as 0 … 15 where they have a zero point. */
const HALF = 2 ** (BITS - 1);

/** Linear layers that are not multiplied in whole numbers, and why, as the end of a sentence. */
export interface OtherProducts {
  readonly linears: readonly Linear[];
  readonly reason: string;
}

/** Which products of every layer are of whole numbers. */
export interface Products {
  readonly integer: readonly Linear[];
  readonly others: readonly OtherProducts[];
}

/**
 * The products of a network whose weights are packed. A product of whole numbers is one in all layers.
 * @param isDense true where no grid holds its weights.
 */
export function productsOf(network: NetworkQuantizers, config: ModelConfig, isDense: boolean): Products {
  if (isDense)
    return { integer: [], others: [{ linears: LINEARS, reason: 'no grid holds the rounded weights' }] };
  const layers = quantizersOfLayers(network, config.layers);
  const found = new Map<string, Linear[]>();
  for (const linear of LINEARS) {
    const inLayers = new Map<string, number>();
    for (const quantizers of layers) {
      const reason = obstacle(linear, quantizers, config);
      if (reason !== null) inLayers.set(reason, (inLayers.get(reason) ?? 0) + 1);
    }
    for (const [reason, count] of inLayers) {
      const told = count === layers.length ? reason : `${reason} in ${count} of ${layers.length} layers`;
      found.set(told, [...(found.get(told) ?? []), linear]);
    }
  }
  const others = [...found].map(([reason, linears]) => ({ linears, reason }));
  return {
    integer: LINEARS.filter((linear) => !others.some(({ linears }) => linears.includes(linear))),
    others,
  };
}

/** Why a product is not of whole numbers; null where it is. */
function obstacle(linear: Linear, quantizers: LayerQuantizers, config: ModelConfig): string | null {
  return weightObstacle(weightQuantizer(linear, quantizers)) ?? inputObstacle(linear, quantizers, config);
}

/** Why weights cannot be packed; null where they can. */
export function weightObstacle({ bits }: WeightQuantizer): string | null {
  return bits <= BITS ? null : `weights have ${bits} bits`;
}

/** Why a product with packed weights cannot take what it reads; null where it can. */
function inputObstacle(linear: Linear, quantizers: LayerQuantizers, config: ModelConfig): string | null {
  const quantizer = readBy(linear, quantizers);
  if (quantizer.bits > 8) return `activations have ${quantizer.bits} bits`;
  if (quantizesForInt4(quantizer, widthOf(linear, config))) return null;
  return `groups of ${quantizer.group} channels do not divide what they read`;
}

export const packs = (form: WeightForm | undefined): boolean =>
  form === 'packed' || form === 'packed-and-numbers' || form === 'packed-and-codes';

/** True where a layer of this shape multiplies by a packed weight. */
export function isPacked(
  linear: Linear,
  { weightForm, quantizers, config }: Pick<LayerShape, 'weightForm' | 'quantizers' | 'config'>,
): boolean {
  return packs(weightForm) && obstacle(linear, quantizers, config) === null;
}

/** True where derivatives of a layer of this shape read a packed weight as codes of a byte, with a scale for each row. */
export function hasCodesBeside(
  linear: Linear,
  shape: Pick<LayerShape, 'weightForm' | 'quantizers' | 'config'>,
): boolean {
  const isAsked = shape.weightForm === 'packed-and-codes' && isPacked(linear, shape);
  return isAsked && hasRowCodes(weightQuantizer(linear, shape.quantizers));
}

/** True where a layer of this shape multiplies by codes with a scale for each row. */
export function isCodes(
  linear: Linear,
  { weightForm, quantizers }: Pick<LayerShape, 'weightForm' | 'quantizers'>,
): boolean {
  return weightForm === 'codes' && hasRowCodes(weightQuantizer(linear, quantizers));
}

/** The quantizer of what a linear layer reads. */
export function readBy(linear: Linear, quantizers: LayerQuantizers): ActivationQuantizer {
  const { input, gateUpInput = input, outputInput, downInput } = quantizers;
  if (linear === 'o') return outputInput;
  if (linear === 'gate' || linear === 'up') return gateUpInput;
  return linear === 'down' ? downInput : input;
}

function widthOf(linear: Linear, { heads, headDim, hiddenSize, intermediateSize }: ModelConfig): number {
  if (linear === 'o') return heads * headDim;
  return linear === 'down' ? intermediateSize : hiddenSize;
}

/** Names of the inputs of a program with a packed weight. */
export const packedNames = (linear: Linear) =>
  ({ bytes: `${linear}.packed`, grid: `${linear}.grid` }) as const;

/** How rows of a packed weight are divided, for the quantizers of the weight and of what it reads. */
export function packedPartsOf(linear: Linear, columns: number, quantizers: LayerQuantizers): RowParts {
  const { symmetric, group } = weightQuantizer(linear, quantizers);
  const weight = { groups: group === 0 ? 1 : columns / group, hasZeros: !symmetric };
  return packedParts(columns, weight, spansOf(readBy(linear, quantizers), columns));
}

/** Types of a packed weight [rows, columns], by input name. */
export function packedTypes(
  linear: Linear,
  [rows = 0, columns = 0]: readonly number[],
  quantizers: LayerQuantizers,
): readonly PanelType[] {
  const names = packedNames(linear);
  const { bytes, grid } = packedDims(rows, columns, packedPartsOf(linear, columns, quantizers));
  return [
    { name: names.bytes, dtype: 'int8', dims: bytes },
    { name: names.grid, dtype: 'float32', dims: grid },
  ];
}

/** Types of all prepared weights of a layer; null where some are not packed, or have numbers beside them. */
export function layerPanelTypes(
  weights: LayerWeights,
  form: Pick<LayerShape, 'weightForm' | 'quantizers' | 'config'>,
): readonly PanelType[] | null {
  if (form.weightForm !== 'packed' || !LINEARS.every((linear) => isPacked(linear, form))) return null;
  return LINEARS.flatMap((linear) => packedTypes(linear, weights[linear].dims, form.quantizers));
}

/** A packed weight [rows, columns] as inputs of a graph. @param prefix put before every name. */
export function packedInputs(
  graph: Graph,
  linear: Linear,
  [rows = 0, columns = 0]: readonly number[],
  quantizers: LayerQuantizers,
  prefix = '',
): PackedInt4 {
  const parts = packedPartsOf(linear, columns, quantizers);
  const names = packedNames(linear);
  const dims = packedDims(rows, columns, parts);
  const bytes = graph.input(prefix + names.bytes, dims.bytes, 'int8');
  const grid = graph.input(prefix + names.grid, dims.grid);
  return { bytes, grid, attributes: packedAttributes(rows, columns, parts) };
}

/**
 * Packs Ŵ = s (c − z), c whole numbers −8 … 7 [rows, columns], s and z [rows, groups]; z is 0 where symmetric.
 * @returns the outputs of a program, by the names of {@link packedInputs}.
 */
export function packedOutputs(
  linear: Linear,
  { codes, scale, zero }: Record<'codes' | 'scale' | 'zero', Value>,
  quantizers: LayerQuantizers,
): [string, Value][] {
  const { symmetric } = weightQuantizer(linear, quantizers);
  const unsigned = (x: Value): Value => add(x, x.graph.scalar(HALF));
  // Codes of a byte are packed as they are: passes through numbers would take as long as packing.
  const weight = symmetric
    ? { codes: cast(codes, 'int8'), scales: scale, zeros: null }
    : { codes: cast(unsigned(toReal(codes)), 'int8'), scales: scale, zeros: unsigned(zero) };
  const { bytes, grid } = packInt4(weight, spansOf(readBy(linear, quantizers), codes.dim(1)));
  const names = packedNames(linear);
  return [
    [names.bytes, bytes],
    [names.grid, grid],
  ];
}

interface PackSpec {
  readonly linear: Linear;
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  readonly quantizers: LayerQuantizers;
}

/** Packs a weight that was rounded before: `codes` int8 [rows, columns], `scale` and `zero` [rows, groups]. */
export const PACK: ProgramKind<PackSpec> = {
  name: 'pack',
  build({ linear, rows, columns, groups, quantizers }) {
    const graph = new Graph();
    const codes = graph.input('codes', [rows, columns], 'int8');
    const [scale, zero] = [graph.input('scale', [rows, groups]), graph.input('zero', [rows, groups])];
    return {
      graph,
      outputs: Object.fromEntries(packedOutputs(linear, { codes, scale, zero }, quantizers)),
    };
  },
};
