/**
 * The ends of a network with tables of tokens in the checkpoint's own channels, which maps at run time turn: what 16 bits
 * hold stays exact, and a tied output layer shares the table of the embeddings.
 */
import { float32ToBfloat16 } from '../../formats/float-bits.ts';
import { fileRows, tableParts, toFloat32 } from '../../formats/tensor-io.ts';
import { type FileTensor, float32 } from '../../protocol/tensor.ts';
import type { Network } from '../network/network.ts';
import type { ModelGraph } from './model-graph.ts';
import { mapped, type RealBits, storeFloats, widenedNode } from './stored-weights.ts';
import type { TableReport, TableValue } from './token-tables.ts';

/** A table that the graph has already. */
interface KnownTable {
  readonly bits: RealBits;
  readonly tensor: string;
}

export class NativeEnds {
  readonly #graph: ModelGraph;
  readonly #network: Network;
  #map: string | null = null;
  #known: KnownTable | null = null;

  constructor(graph: ModelGraph, network: Network) {
    this.#graph = graph;
    this.#network = network;
  }

  /** The residual [batch, sequence, d] of token ids. */
  async embeddings(name: string, ids: string, bits: RealBits): Promise<TableValue> {
    const graph = this.#graph;
    const { checkpoint, options } = this.#network;
    const tensor = await this.#stored(name, checkpoint.embedding, bits);
    this.#known = { bits, tensor };
    const found = graph.node(`${name}.found`, 'Gather', [tensor, ids], { attributes: { axis: 0 } });
    let rows = bits === 32 ? found : widenedNode(graph, `${name}.rows`, found);
    if (options.centreEmbedding) {
      const mean = graph.node(`${name}.mean`, 'ReduceMean', [rows, graph.ints([-1])]);
      rows = graph.node(`${name}.centred`, 'Sub', [rows, mean]);
    }
    const map = await this.#residualMap();
    const value = map === null ? rows : graph.node(name, 'MatMul', [rows, map]);
    return { value, report: this.#report(bits) };
  }

  /** Logits [batch, sequence, V] of the normed residual. */
  async head(name: string, normed: string, bits: RealBits): Promise<TableValue> {
    const graph = this.#graph;
    const { checkpoint } = this.#network;
    const { tiedEmbeddings, finalNorm, lmHead } = checkpoint;
    const map = await this.#residualMap();
    const turned = (at: string, x: string): string =>
      graph.node(at, 'Transpose', [x], { attributes: { perm: [1, 0] } });
    const own =
      map === null ? normed : graph.node(`${name}.own`, 'MatMul', [normed, turned(`${name}.map`, map)]);
    const gain = await graph.tensor(`${name}.gain`, float32(finalNorm.dims, toFloat32(finalNorm)));
    const hidden = graph.node(`${name}.hidden`, 'Mul', [own, gain]);
    const shared = tiedEmbeddings && this.#known?.bits === bits ? this.#known : null;
    const tensor = shared ? shared.tensor : await this.#stored(name, lmHead, bits);
    const numbers = bits === 32 ? tensor : widenedNode(graph, `${name}.float32`, tensor);
    const value = graph.node(name, 'MatMul', [hidden, turned(`${name}.turned`, numbers)]);
    return { value, report: shared ? { bits, bytes: 0, error: null } : this.#report(bits) };
  }

  /** The map of the residual, float32 [d, d]; null where it has none. */
  async #residualMap(): Promise<string | null> {
    const { options } = this.#network;
    if (!options.maps.residual) return null;
    const numbers = this.#network.maps(0).residual;
    if (!numbers) throw new Error('the map of the residual has no numbers');
    this.#map ??= await this.#graph.tensor('residual.map', float32(numbers.dims, toFloat32(numbers)));
    return this.#map;
  }

  async #stored(name: string, table: FileTensor, bits: RealBits): Promise<string> {
    const { vocabSize, hiddenSize } = this.#network.checkpoint.config;
    const size = { rows: vocabSize, columns: hiddenSize };
    if (bits === 16 && table.dtype === 'bfloat16') {
      // As it is: float16 would round small numbers.
      const place = await this.#graph.append(mapped(rowsOf(table), upperHalves));
      return this.#graph.stored(`${name}.numbers`, { dtype: 'bfloat16', dims: table.dims }, place);
    }
    return storeFloats(this.#graph, name, size, { bits, rows: rowsOf(table) });
  }

  #report(bits: RealBits): TableReport {
    const { vocabSize, hiddenSize } = this.#network.checkpoint.config;
    return { bits, bytes: (bits / 8) * vocabSize * hiddenSize, error: null };
  }
}

async function* rowsOf(table: FileTensor): AsyncGenerator<Float32Array> {
  for (const { first, count } of tableParts(table.dims[0] ?? 0))
    yield toFloat32(fileRows(table, first, count));
}

function upperHalves(values: Float32Array): Uint8Array {
  const bits = float32ToBfloat16(values);
  return new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
}
