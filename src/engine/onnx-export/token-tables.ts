/** The tables of tokens at the ends of a network: embeddings, and the head that gives logits. */
import type { TableBits } from '../../protocol/export-formats.ts';
import { float32 } from '../../protocol/tensor.ts';
import { multiples } from '../network/rounded-weights.ts';
import { type BlockWeight, blockWeight, packRows, roundedRows } from './block-weight.ts';
import type { ModelGraph } from './model-graph.ts';
import {
  type AccuracyLevel,
  floatProduct,
  mapped,
  matMulNBits,
  type RealBits,
  storeFloats,
  type TableRows,
  type TableSize,
  uint8,
  widenedNode,
} from './stored-weights.ts';

/** What became of a table. */
export interface TableReport {
  readonly bits: TableBits;
  /** Bytes of all numbers and scales. */
  readonly bytes: number;
  /** ‖Ŵ − W‖ / ‖W‖ of the rounding to 8 or 4 bits; null for floats. */
  readonly error: number | null;
}

/** A value of the graph with the table that it is read from. */
export interface TableValue {
  readonly value: string;
  readonly report: TableReport;
}

/** Rows of a table by token ids, float32 [batch, sequence, columns]. */
export async function tableRows(
  graph: ModelGraph,
  name: string,
  ids: string,
  size: TableSize,
  { bits, rows }: { readonly bits: TableBits; readonly rows: TableRows },
): Promise<TableValue> {
  if (bits === 32 || bits === 16) {
    const table = await storeFloats(graph, name, size, { bits, rows });
    if (graph.purpose === 'run' && bits === 16) {
      // Widened once, when the model is loaded: not every GPU reads numbers of 16 bits.
      const wide = widenedNode(graph, `${name}.wide`, table);
      const value = graph.node(name, 'Gather', [wide, ids], { attributes: { axis: 0 } });
      return { value, report: floatReport(size, bits) };
    }
    const gathered = bits === 32 ? name : `${name}.rows`;
    const found = graph.node(gathered, 'Gather', [table, ids], { attributes: { axis: 0 } });
    const value = bits === 32 ? found : widenedNode(graph, name, found);
    return { value, report: floatReport(size, bits) };
  }
  const stored = await storeRounded(graph, name, size, { bits, rows, whole: false });
  const { block, codes, scales, zeros, report } = stored;
  const attributes = { gather_axis: 0, quantize_axis: 1, block_size: block, bits };
  const inputs = [codes, ids, scales, zeros];
  const value = graph.node(name, 'GatherBlockQuantized', inputs, { domain: 'com.microsoft', attributes });
  return { value, report };
}

/** y = x Wᵀ for a table that is rounded here. */
export async function tableProduct(
  graph: ModelGraph,
  name: string,
  x: string,
  size: TableSize,
  table: { readonly bits: TableBits; readonly rows: TableRows; readonly level: AccuracyLevel },
): Promise<TableValue> {
  const { bits, rows, level } = table;
  if (bits === 32 || bits === 16) {
    const value = await floatProduct(graph, name, x, size, { bits, rows });
    return { value, report: floatReport(size, bits) };
  }
  const stored = await storeRounded(graph, name, size, { bits, rows, whole: true });
  const { block, codes, scales, zeros, report } = stored;
  const shape = { ...size, bits, block, level };
  return { value: matMulNBits(graph, name, [x, codes, scales, zeros], shape), report };
}

const floatReport = ({ rows, columns }: TableSize, bits: RealBits): TableReport => ({
  bits,
  bytes: (bits / 8) * rows * columns,
  error: null,
});

interface RoundedTable {
  readonly bits: 8 | 4;
  readonly rows: TableRows;
  /** True where the last block of a row is filled up. */
  readonly whole: boolean;
}

interface StoredTable extends Readonly<Record<'codes' | 'scales' | 'zeros', string>> {
  readonly block: number;
  readonly report: TableReport;
}

/** Rounds a table part by part: it may be larger than memory. */
async function storeRounded(
  graph: ModelGraph,
  name: string,
  { rows, columns }: TableSize,
  { bits, rows: parts, whole }: RoundedTable,
): Promise<StoredTable> {
  const scales: Float32Array[] = [];
  const squares = { error: 0, whole: 0 };
  let shape = { block: 0, blocks: 0 };
  const bytes = mapped(parts, (part) => {
    const rounded = roundedRows(part, columns, bits);
    addSquares(squares, part, multiples(rounded));
    const weight = blockWeight(rounded, bits, name);
    scales.push(weight.scales);
    shape = weight;
    return whole ? weight.codes : cutRows(weight);
  });
  const place = await graph.append(bytes);
  const { block, blocks } = shape;
  const middle = 2 ** (bits - 1);
  const zeros = packRows(new Uint8Array(rows * blocks).fill(middle), { bits, rows, columns: blocks });
  const dims = whole ? [rows, blocks, (block * bits) / 8] : [rows, (columns * bits) / 8];
  const error = squares.whole === 0 ? 0 : Math.sqrt(squares.error / squares.whole);
  return {
    block,
    report: { bits, bytes: place.length + 4 * rows * blocks + zeros.length, error },
    codes: graph.stored(`${name}.codes`, { dtype: 'uint8', dims }, place),
    scales: await graph.tensor(`${name}.scales`, float32([rows, blocks], joined(scales))),
    // Versions of ONNX Runtime disagree about the zero points of tables that have none.
    zeros: await graph.tensor(`${name}.zeros`, uint8([rows, zeros.length / rows], zeros)),
  };
}

/** Adds Σ (Ŵ − W)² and Σ W². */
function addSquares(
  sums: { error: number; whole: number },
  values: Float32Array,
  rounded: Float32Array,
): void {
  for (let i = 0; i < values.length; i++) {
    sums.error += (rounded[i]! - values[i]!) ** 2;
    sums.whole += values[i]! ** 2;
  }
}

/** Codes without what fills the last block of a row. */
function cutRows({ bits, block, blocks, rows, columns, codes }: BlockWeight): Uint8Array {
  const [from, to] = [(blocks * block * bits) / 8, (columns * bits) / 8];
  if (from === to) return codes;
  const cut = new Uint8Array(rows * to);
  for (let row = 0; row < rows; row++) cut.set(codes.subarray(row * from, row * from + to), row * to);
  return cut;
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
