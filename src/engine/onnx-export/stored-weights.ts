import { float32ToFloat16 } from '../../formats/float-bits.ts';
import { UserError } from '../../protocol/errors.ts';
import type { TableBits } from '../../protocol/export-formats.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { type BlockWeight, blockWeight, packRows, roundedRows } from './block-weight.ts';
import type { StockGraph } from './stock-graph.ts';

/** How products with rounded weights compute: with activations rounded to 8 bits for each block, or as they are. */
export type AccuracyLevel = 4 | 0;

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
  graph: StockGraph,
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

function matMulNBits(
  graph: StockGraph,
  name: string,
  inputs: readonly string[],
  shape: ProductShape,
): string {
  const { rows: N, columns: K, bits, block, level } = shape;
  const attributes = { K, N, bits, block_size: block, accuracy_level: level };
  return graph.node(name, 'MatMulNBits', inputs, { contrib: true, attributes });
}

function zerosTensor(zeros: Uint8Array | Float32Array, { rows, blocks }: BlockWeight): HostTensor {
  if (zeros instanceof Float32Array) return float32([rows, blocks], zeros);
  return uint8([rows, zeros.length / rows], zeros);
}

/** y = x Wᵀ for W [rows, columns] in float16: runtimes widen and turn it when they load the model. */
export async function halfProduct(
  graph: StockGraph,
  name: string,
  x: string,
  size: TableSize,
  rows: TableRows,
): Promise<string> {
  const stored = await storeHalves(graph, `${name}.float16`, size, rows);
  const widened = graph.node(`${name}.float32`, 'Cast', [stored], { attributes: { to: FLOAT32 } });
  const turned = graph.node(`${name}.turned`, 'Transpose', [widened], { attributes: { perm: [1, 0] } });
  return graph.node(name, 'MatMul', [x, turned]);
}

const FLOAT32 = 1;

async function storeHalves(
  graph: StockGraph,
  name: string,
  { rows, columns }: TableSize,
  parts: TableRows,
): Promise<string> {
  const bytes = mapped(parts, (part) => {
    const data = halves(part, name);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  });
  return graph.stored(name, { dtype: 'float16', dims: [rows, columns] }, await graph.append(bytes));
}

/** Rows of a table by token ids, float32 [batch, sequence, columns]. */
export async function tableRows(
  graph: StockGraph,
  name: string,
  ids: string,
  size: TableSize,
  { bits, rows }: { readonly bits: TableBits; readonly rows: TableRows },
): Promise<string> {
  if (bits === 16) {
    const table = await storeHalves(graph, `${name}.float16`, size, rows);
    if (graph.purpose === 'run') {
      // Widened once, when the model is loaded: not every GPU reads numbers of 16 bits.
      const wide = graph.node(`${name}.float32`, 'Cast', [table], { attributes: { to: FLOAT32 } });
      return graph.node(name, 'Gather', [wide, ids], { attributes: { axis: 0 } });
    }
    const found = graph.node(`${name}.rows`, 'Gather', [table, ids], { attributes: { axis: 0 } });
    return graph.node(name, 'Cast', [found], { attributes: { to: FLOAT32 } });
  }
  const { block, codes, scales, zeros } = await storeRounded(graph, name, size, { bits, rows, whole: false });
  const attributes = { gather_axis: 0, quantize_axis: 1, block_size: block, bits };
  const inputs = [codes, ids, scales, zeros];
  return graph.node(name, 'GatherBlockQuantized', inputs, { contrib: true, attributes });
}

/** y = x Wᵀ for a table that is rounded here. */
export async function tableProduct(
  graph: StockGraph,
  name: string,
  x: string,
  size: TableSize,
  table: { readonly bits: TableBits; readonly rows: TableRows; readonly level: AccuracyLevel },
): Promise<string> {
  const { bits, rows, level } = table;
  if (bits === 16) return halfProduct(graph, name, x, size, rows);
  const { block, codes, scales, zeros } = await storeRounded(graph, name, size, { bits, rows, whole: true });
  return matMulNBits(graph, name, [x, codes, scales, zeros], { ...size, bits, block, level });
}

interface RoundedTable {
  readonly bits: 8 | 4;
  readonly rows: TableRows;
  /** True where the last block of a row is filled up. */
  readonly whole: boolean;
}

/** Rounds a table part by part: it may be larger than memory. */
async function storeRounded(
  graph: StockGraph,
  name: string,
  { rows, columns }: TableSize,
  { bits, rows: parts, whole }: RoundedTable,
): Promise<Readonly<Record<'codes' | 'scales' | 'zeros', string>> & { readonly block: number }> {
  const scales: Float32Array[] = [];
  let shape = { block: 0, blocks: 0 };
  const bytes = mapped(parts, (part) => {
    const weight = blockWeight(roundedRows(part, columns, bits), bits, name);
    scales.push(weight.scales);
    shape = weight;
    return whole ? weight.codes : cutRows(weight);
  });
  const place = await graph.append(bytes);
  const { block, blocks } = shape;
  const middle = 2 ** (bits - 1);
  const zeros = packRows(new Uint8Array(rows * blocks).fill(middle), { bits, rows, columns: blocks });
  const dims = whole ? [rows, blocks, (block * bits) / 8] : [rows, (columns * bits) / 8];
  return {
    block,
    codes: graph.stored(`${name}.codes`, { dtype: 'uint8', dims }, place),
    scales: await graph.tensor(`${name}.scales`, float32([rows, blocks], joined(scales))),
    // Versions of ONNX Runtime disagree about the zero points of tables that have none.
    zeros: await graph.tensor(`${name}.zeros`, uint8([rows, zeros.length / rows], zeros)),
  };
}

/** Codes without what fills the last block of a row. */
function cutRows({ bits, block, blocks, rows, columns, codes }: BlockWeight): Uint8Array {
  const [from, to] = [(blocks * block * bits) / 8, (columns * bits) / 8];
  if (from === to) return codes;
  const cut = new Uint8Array(rows * to);
  for (let row = 0; row < rows; row++) cut.set(codes.subarray(row * from, row * from + to), row * to);
  return cut;
}

async function* mapped(
  parts: TableRows,
  map: (part: Float32Array) => Uint8Array,
): AsyncGenerator<Uint8Array> {
  for await (const part of parts) yield map(part);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function uint8(dims: readonly number[], data: Uint8Array): HostTensor {
  return { kind: 'host', dtype: 'uint8', dims, data };
}

/** A table in one part. */
export async function* wholeTable(values: Float32Array): AsyncGenerator<Float32Array> {
  yield values;
}
