import { float32ToFloat16 } from '../../formats/float-bits.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import { roundedValues } from '../network/rounded-weights.ts';
import { type BlockWeight, blockWeight } from './block-weight.ts';
import type { ModelGraph } from './model-graph.ts';
import type { NetworkWeight } from './network-weights.ts';

/** How products with rounded weights compute: with activations rounded to 8 bits for each block, or as they are. */
export type AccuracyLevel = 4 | 0;

/** Activations are rounded to 8 bits where the network rounds them; at 16 bits they stay as they are. */
export function levelOf({ bits }: Pick<ActivationQuantizer, 'bits'>): AccuracyLevel {
  return bits < 16 ? 4 : 0;
}

/** Rows of a table [rows, columns] as they come, each part whole rows of float32. */
export type TableRows = AsyncIterable<Float32Array>;

export interface TableSize {
  readonly rows: number;
  readonly columns: number;
}

const LARGEST_HALF = 65504;

/** Numbers of 16 bits. @throws UserError `export/float16`. */
export function halves(values: Float32Array, what: string): Uint16Array {
  const outside = values.find((value) => !(Math.abs(value) <= LARGEST_HALF));
  if (outside === undefined) return float32ToFloat16(values);
  throw new UserError(
    'export/float16',
    `${what} has the value ${outside}; float16, in which the model stores it, reaches ${LARGEST_HALF}.`,
    'Store it at 8 or 4 bits (--embeddings, --head), or round the weights.',
  );
}

/** y = x Wᵀ for W in blocks. */
export async function blockProduct(
  graph: ModelGraph,
  name: string,
  x: string,
  weight: BlockWeight,
  level: AccuracyLevel,
): Promise<string> {
  const { bits, block, rows, columns, blocks, codes, scales, zeros } = weight;
  const packed = uint8([rows, blocks, (block * bits) / 8], codes);
  const inputs = [
    x,
    await graph.tensor(`${name}.codes`, packed),
    await graph.tensor(`${name}.scales`, float32([rows, blocks], scales)),
  ];
  if (zeros) inputs.push(await graph.tensor(`${name}.zeros`, zerosTensor(zeros, weight)));
  return matMulNBits(graph, name, inputs, { bits, block, rows, columns, level });
}

interface ProductShape extends TableSize {
  readonly bits: number;
  readonly block: number;
  readonly level: AccuracyLevel;
}

export function matMulNBits(
  graph: ModelGraph,
  name: string,
  inputs: readonly string[],
  shape: ProductShape,
): string {
  const { rows: N, columns: K, bits, block, level } = shape;
  const attributes = { K, N, bits, block_size: block, accuracy_level: level };
  return graph.node(name, 'MatMulNBits', inputs, { domain: 'com.microsoft', attributes });
}

function zerosTensor(zeros: Uint8Array | Float32Array, { rows, blocks }: BlockWeight): HostTensor {
  if (zeros instanceof Float32Array) return float32([rows, blocks], zeros);
  return uint8([rows, zeros.length / rows], zeros);
}

/** Types of numbers that are stored unrounded, or nearly so. */
export type RealBits = 32 | 16;

/** y = x Wᵀ for W [rows, columns] in floats: runtimes widen and turn it when they load the model. */
export async function floatProduct(
  graph: ModelGraph,
  name: string,
  x: string,
  size: TableSize,
  { bits, rows }: { readonly bits: RealBits; readonly rows: TableRows },
): Promise<string> {
  const stored = await storeFloats(graph, name, size, { bits, rows });
  const widened = bits === 32 ? stored : widenedNode(graph, `${name}.float32`, stored);
  const turned = graph.node(`${name}.turned`, 'Transpose', [widened], { attributes: { perm: [1, 0] } });
  return graph.node(name, 'MatMul', [x, turned]);
}

export const widenedNode = (graph: ModelGraph, name: string, x: string): string =>
  graph.node(name, 'Cast', [x], { attributes: { to: FLOAT32 } });

const FLOAT32 = 1;

/** @returns the name of the tensor [rows, columns]. */
export async function storeFloats(
  graph: ModelGraph,
  name: string,
  { rows, columns }: TableSize,
  { bits, rows: parts }: { readonly bits: RealBits; readonly rows: TableRows },
): Promise<string> {
  const dtype = bits === 32 ? 'float32' : 'float16';
  const bytes = mapped(parts, (part) => {
    const data = bits === 32 ? part : halves(part, name);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  });
  return graph.stored(`${name}.numbers`, { dtype, dims: [rows, columns] }, await graph.append(bytes));
}

/** A weight as a network multiplies by it. */
export interface StoredWeight {
  readonly matrix: NetworkWeight;
  /** Bits of its codes. */
  readonly bits: number;
  /** Names it in messages. */
  readonly what: string;
  readonly level: AccuracyLevel;
}

/** y = x Wᵀ in blocks, or in float16 for a weight on no grid. */
export function weightProduct(
  graph: ModelGraph,
  name: string,
  x: string,
  { matrix, bits, what, level }: StoredWeight,
): Promise<string> {
  if ('codes' in matrix) return blockProduct(graph, name, x, blockWeight(matrix, bits, what), level);
  return floatProduct(graph, name, x, matrix, { bits: 16, rows: wholeTable(roundedValues(matrix)) });
}

/** A table in one part. */
export async function* wholeTable(values: Float32Array): AsyncGenerator<Float32Array> {
  yield values;
}

export async function* mapped(
  parts: TableRows,
  map: (part: Float32Array) => Uint8Array,
): AsyncGenerator<Uint8Array> {
  for await (const part of parts) yield map(part);
}

export function uint8(dims: readonly number[], data: Uint8Array): HostTensor {
  return { kind: 'host', dtype: 'uint8', dims, data };
}
