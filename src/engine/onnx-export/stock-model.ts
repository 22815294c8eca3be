import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import type { TableBits } from '../../protocol/export-formats.ts';
import { float32 } from '../../protocol/tensor.ts';
import type { ProtoValue } from '../graph/model-proto.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import { ropeLimits, ropeTables } from '../model/rope.ts';
import type { Network } from '../network/network.ts';
import { ExternalData } from './external-data.ts';
import { NetworkWeights } from './network-weights.ts';
import { pastName, presentName, rmsNormNodes, type SharedValues, StockBlocks } from './stock-block.ts';
import { StockGraph, type StockPurpose } from './stock-graph.ts';
import { type AccuracyLevel, tableProduct, tableRows } from './stored-weights.ts';

export const MODEL_FILE = 'model.onnx';
export const DATA_FILE = 'model.onnx.data';

export interface TableChoice {
  readonly embeddings: TableBits;
  readonly head: TableBits;
}

export interface WrittenModel {
  /** Nodes of each operator. */
  readonly operators: Readonly<Record<string, number>>;
  /** Positions of the rotary tables. */
  readonly contextLength: number;
  /** Bytes of all tensors, loaded for a run. */
  readonly loadedBytes: number;
}

export interface StockContent {
  readonly cache: ProgramCache;
  /** Merged, with its maps. */
  readonly network: Network;
  readonly tables: TableChoice;
  /** `export` where absent. */
  readonly purpose?: StockPurpose | undefined;
}

/** Rows of a table of tokens that are made at a time. */
const TABLE_ROWS = 4096;

/** Activations are rounded to 8 bits where the network rounds them; at 16 bits they stay as they are. */
export function levelOf({ options: { quantizers } }: Network): AccuracyLevel {
  return quantizers.input.bits < 16 ? 4 : 0;
}

/** Positions for which the rotary tables of one length of text serve. */
export const contextLength = (config: ModelConfig): number => ropeLimits(config)[0] ?? config.maxPositions;

/**
 * Writes a network as `model.onnx` with its tensors in `model.onnx.data`, in standard operators and those of
 * `com.microsoft` in an unmodified ONNX Runtime. Inputs are `input_ids` and `attention_mask` int64, [batch, sequence]
 * and [batch, total], and `past_key_values.N.key` and `.value`, float32 [batch, G, past, h]; outputs are `logits` float32
 * [batch, sequence, V] and `present.N.key` and `.value` [batch, G, total, h].
 * @throws UserError `export/…`, `file/unwritable`.
 */
export async function writeStockModel(
  folder: string,
  { cache, network, tables, purpose }: StockContent,
  signal?: AbortSignal,
): Promise<WrittenModel> {
  const { config } = network.checkpoint;
  const data = await ExternalData.create(folder, DATA_FILE);
  try {
    const graph = new StockGraph(data, purpose);
    const shared = await sharedValues(graph, config);
    const size = { rows: config.vocabSize, columns: config.hiddenSize };
    const embeddings = { bits: tables.embeddings, rows: embeddingRows(network, signal) };
    let x = await tableRows(graph, 'embeddings', 'input_ids', size, embeddings);
    const blocks = new StockBlocks(graph, network, new NetworkWeights(cache, network), levelOf(network));
    for (let layer = 0; layer < config.layers; layer++) {
      throwIfCancelled(signal);
      x = await blocks.block(layer, x, shared, signal);
    }
    const ones = float32([config.hiddenSize], new Float32Array(config.hiddenSize).fill(1));
    const normed = await rmsNormNodes(graph, 'final-norm', x, ones, config.rmsNormEps);
    const head = { bits: tables.head, rows: headRows(network, signal), level: levelOf(network) };
    await tableProduct(graph, 'logits', normed, size, head);
    await data.finish();
    const path = join(folder, MODEL_FILE);
    const model = graph.encode(inputsOf(config), outputsOf(config));
    await writing(path, () => writeFile(path, model));
    const { operators, loadedBytes } = graph;
    return { operators, contextLength: contextLength(config), loadedBytes };
  } finally {
    await data.close();
  }
}

/** Rows of the embeddings in the channels of the residual. */
async function* embeddingRows(network: Network, signal?: AbortSignal): AsyncGenerator<Float32Array> {
  for (const { first, count } of parts(network.checkpoint.config.vocabSize)) {
    const ids = Int32Array.from({ length: count }, (_, i) => first + i);
    yield (await network.embed(ids, signal)).data;
  }
}

async function* headRows(network: Network, signal?: AbortSignal): AsyncGenerator<Float32Array> {
  for (const { first, count } of parts(network.checkpoint.config.vocabSize))
    yield (await network.headRows(first, count, signal)).data;
}

function parts(rows: number): { readonly first: number; readonly count: number }[] {
  return Array.from({ length: Math.ceil(rows / TABLE_ROWS) }, (_, i) => {
    const first = i * TABLE_ROWS;
    return { first, count: Math.min(TABLE_ROWS, rows - first) };
  });
}

/** Positions and lengths, from the mask: a token that is masked does not count. */
async function sharedValues(graph: StockGraph, config: ModelConfig): Promise<SharedValues> {
  const [one, axis] = [graph.int(1), graph.ints([1])];
  const seen = graph.node('mask.seen', 'CumSum', ['attention_mask', one]);
  const places = graph.node('mask.places', 'Max', [
    graph.node('mask.before', 'Sub', [seen, one]),
    graph.int(0),
  ]);
  const sequence = graph.node('sequence', 'Shape', ['input_ids'], { attributes: { start: 1, end: 2 } });
  const start = graph.node('sequence.start', 'Neg', [sequence]);
  const positions = graph.node('positions', 'Slice', [places, start, graph.ints([2 ** 31 - 1]), axis]);
  const int32 = (name: string, x: string): string =>
    graph.node(name, 'Cast', [x], { attributes: { to: INT32 } });
  const tokens = graph.node('mask.tokens', 'ReduceSum', ['attention_mask', axis], {
    attributes: { keepdims: 0 },
  });
  const total = graph.node('mask.shape', 'Shape', ['attention_mask']);
  const length = graph.node('mask.length', 'Gather', [total, one], { attributes: { axis: 0 } });
  const count = contextLength(config);
  const { cos, sin } = ropeTables(config, count);
  const dims = [count, config.headDim / 2];
  return {
    positions,
    cos: await graph.tensor('rotary.cos', float32(dims, cos)),
    sin: await graph.tensor('rotary.sin', float32(dims, sin)),
    lastToken: int32('last-token', graph.node('mask.last', 'Sub', [tokens, one])),
    length: int32('length', length),
  };
}

const INT32 = 6;

function inputsOf(config: ModelConfig): ProtoValue[] {
  return [
    { name: 'input_ids', dtype: 'int64', dims: ['batch_size', 'sequence_length'] },
    { name: 'attention_mask', dtype: 'int64', dims: ['batch_size', 'total_sequence_length'] },
    ...cacheOf(config, pastName, 'past_sequence_length'),
  ];
}

function outputsOf(config: ModelConfig): ProtoValue[] {
  return [
    { name: 'logits', dtype: 'float32', dims: ['batch_size', 'sequence_length', config.vocabSize] },
    ...cacheOf(config, presentName, 'total_sequence_length'),
  ];
}

function cacheOf(
  { layers, kvHeads, headDim }: ModelConfig,
  nameOf: typeof pastName,
  length: string,
): ProtoValue[] {
  const dims = ['batch_size', kvHeads, length, headDim];
  return Array.from({ length: layers }, (_, layer) =>
    (['key', 'value'] as const).map((what) => ({
      name: nameOf(layer, what),
      dtype: 'float32' as const,
      dims,
    })),
  ).flat();
}
