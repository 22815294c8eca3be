import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { tableParts } from '../../formats/tensor-io.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import type { ExportTarget, TableBits } from '../../protocol/export-formats.ts';
import type { ProtoValue } from '../graph/model-proto.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { Network } from '../network/network.ts';
import { ExternalData } from './external-data.ts';
import { type CacheRows, type ModelBlocks, pastName, presentName } from './model-blocks.ts';
import { ModelGraph, type ModelPurpose } from './model-graph.ts';
import { NativeBlocks } from './native-blocks.ts';
import { NativeEnds } from './native-ends.ts';
import { NetworkWeights } from './network-weights.ts';
import { StockBlocks } from './stock-blocks.ts';
import { levelOf } from './stored-weights.ts';
import { type TableReport, type TableValue, tableProduct, tableRows } from './token-tables.ts';

export const MODEL_FILE = 'model.onnx';
export const DATA_FILE = 'model.onnx.data';

export interface TableChoice {
  readonly embeddings: TableBits;
  readonly head: TableBits;
}

export interface ModelToWrite {
  readonly cache: ProgramCache;
  /** Merged, with its maps. */
  readonly network: Network;
  readonly tables: TableChoice;
  readonly target: ExportTarget;
  /** `export` where absent. */
  readonly purpose?: ModelPurpose | undefined;
}

export interface WrittenModel {
  /** Nodes of each operator. */
  readonly operators: Readonly<Record<string, number>>;
  /** Keys and values of a token of one head. */
  readonly rows: CacheRows;
  /** Bytes of all tensors, loaded for a run. */
  readonly loadedBytes: number;
  readonly tables: Readonly<Record<keyof TableChoice, TableReport>>;
}

/** Our attention reads whole sequences, all of one length. */
export const hasMask = (target: ExportTarget): boolean => target === 'stock';
const MASK_INPUT = 'attention_mask';

/**
 * Writes a network as `model.onnx` with its tensors in `model.onnx.data`. Inputs are `input_ids` int64 [batch, sequence];
 * in stock models `attention_mask` int64 [batch, total]; `past_key_values.N.key` and `.value` [batch, G, past, width],
 * float32 numbers of a head's channels, or bytes. Outputs are `logits` float32 [batch, sequence, V] and `present.N.key`
 * and `.value` [batch, G, total, width].
 * @throws UserError `export/…`, `file/unwritable`.
 */
export async function writeModel(
  folder: string,
  model: ModelToWrite,
  signal?: AbortSignal,
): Promise<WrittenModel> {
  const { network, tables, target, purpose } = model;
  const { config } = network.checkpoint;
  const data = await ExternalData.create(folder, DATA_FILE);
  try {
    const graph = new ModelGraph(data, purpose);
    const ends = openEnds(graph, model, signal);
    const embeddings = await ends.embeddings('embeddings', 'input_ids', tables.embeddings);
    let x = embeddings.value;
    const blocks = await openBlocks(graph, model);
    for (let layer = 0; layer < config.layers; layer++) {
      throwIfCancelled(signal);
      x = await blocks.block(layer, x, signal);
    }
    const normed = await blocks.norm('final-norm', x, null);
    const head = await ends.head('logits', normed, tables.head);
    await data.finish();
    const path = join(folder, MODEL_FILE);
    const bytes = graph.encode(inputsOf(config, target, blocks.cache), outputsOf(config, blocks.cache));
    await writing(path, () => writeFile(path, bytes));
    const written = { embeddings: embeddings.report, head: head.report };
    const { operators, loadedBytes } = graph;
    return { operators, loadedBytes, rows: blocks.cache, tables: written };
  } finally {
    await data.close();
  }
}

/** Rows of the embeddings in the channels of the residual. */
async function* embeddingRows(network: Network, signal?: AbortSignal): AsyncGenerator<Float32Array> {
  for (const { first, count } of tableParts(network.checkpoint.config.vocabSize)) {
    const ids = Int32Array.from({ length: count }, (_, i) => first + i);
    yield (await network.embed(ids, signal)).data;
  }
}

async function* headRows(network: Network, signal?: AbortSignal): AsyncGenerator<Float32Array> {
  for (const { first, count } of tableParts(network.checkpoint.config.vocabSize))
    yield (await network.headRows(first, count, signal)).data;
}

interface Ends {
  /** The residual [batch, sequence, d] of token ids. */
  embeddings(name: string, ids: string, bits: TableBits): Promise<TableValue>;
  /** Logits [batch, sequence, V] of the normed residual. */
  head(name: string, normed: string, bits: TableBits): Promise<TableValue>;
}

/** Tables with maps and gain merged; in native models only where they are rounded, which is better done so. */
function openEnds(graph: ModelGraph, { network, target }: ModelToWrite, signal?: AbortSignal): Ends {
  const { vocabSize, hiddenSize } = network.checkpoint.config;
  const size = { rows: vocabSize, columns: hiddenSize };
  const native = target === 'native' ? new NativeEnds(graph, network) : null;
  return {
    async embeddings(name, ids, bits) {
      if (native && (bits === 32 || bits === 16)) return native.embeddings(name, ids, bits);
      return tableRows(graph, name, ids, size, { bits, rows: embeddingRows(network, signal) });
    },
    async head(name, normed, bits) {
      if (native && (bits === 32 || bits === 16)) return native.head(name, normed, bits);
      const table = {
        bits,
        rows: headRows(network, signal),
        level: levelOf(network.options.quantizers.input),
      };
      return tableProduct(graph, name, normed, size, table);
    },
  };
}

function openBlocks(graph: ModelGraph, { cache, network, target }: ModelToWrite): Promise<ModelBlocks> {
  const weights = new NetworkWeights(cache, network);
  return target === 'native'
    ? NativeBlocks.open(graph, network, weights, cache)
    : StockBlocks.open(graph, network, weights);
}

function inputsOf(config: ModelConfig, target: ExportTarget, rows: CacheRows): ProtoValue[] {
  const mask: ProtoValue = {
    name: MASK_INPUT,
    dtype: 'int64',
    dims: ['batch_size', 'total_sequence_length'],
  };
  return [
    { name: 'input_ids', dtype: 'int64', dims: ['batch_size', 'sequence_length'] },
    ...(hasMask(target) ? [mask] : []),
    ...cacheOf(config, rows, pastName, 'past_sequence_length'),
  ];
}

function outputsOf(config: ModelConfig, rows: CacheRows): ProtoValue[] {
  return [
    { name: 'logits', dtype: 'float32', dims: ['batch_size', 'sequence_length', config.vocabSize] },
    ...cacheOf(config, rows, presentName, 'total_sequence_length'),
  ];
}

function cacheOf(
  { layers, kvHeads }: ModelConfig,
  { dtype, width }: CacheRows,
  nameOf: typeof pastName,
  length: string,
): ProtoValue[] {
  const dims = ['batch_size', kvHeads, length, width];
  return Array.from({ length: layers }, (_, layer) =>
    (['key', 'value'] as const).map((role) => ({ name: nameOf(layer, role), dtype, dims })),
  ).flat();
}
