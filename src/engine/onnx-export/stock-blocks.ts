import { toFloat32 } from '../../formats/tensor-io.ts';
import { float32, type HostTensor, type Tensor } from '../../protocol/tensor.ts';
import type { HadamardTransform } from '../graph/fused/hadamard.ts';
import type { ModelConfig } from '../model/config.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { readBy } from '../network/packed-weights.ts';
import { acrossHeadsNodes, hadamardNodes } from './hadamard-nodes.ts';
import {
  type CacheRows,
  type LinearLayer,
  ModelBlocks,
  type Projections,
  pastName,
  presentName,
} from './model-blocks.ts';
import type { ModelGraph } from './model-graph.ts';
import type { NetworkWeights } from './network-weights.ts';
import { type RotaryTables, rotaryTables } from './rotary-tables.ts';
import { levelOf, weightProduct } from './stored-weights.ts';

/** Values that all blocks read. */
interface SharedValues extends RotaryTables {
  /** int64 [batch, sequence] */
  readonly positions: string;
  /** int32 [batch]: tokens of each sequence, less one. */
  readonly lastToken: string;
  /** int32 []: tokens of the longest sequence. */
  readonly length: string;
}

/** Root mean square normalisation of the last axis, in the operators that ONNX Runtime fuses into one. */
export async function rmsNormNodes(
  graph: ModelGraph,
  name: string,
  x: string,
  gain: HostTensor<Float32Array>,
  epsilon: number,
): Promise<string> {
  const node = (step: string, op: string, ...inputs: string[]): string =>
    graph.node(`${name}.${step}`, op, inputs);
  if (graph.purpose === 'run') {
    // ONNX Runtime fuses the operators below on the processor only.
    const inputs = [x, await graph.tensor(`${name}.gain`, gain)];
    const attributes = { axis: -1, epsilon: { float: epsilon } };
    return graph.node(name, 'SimplifiedLayerNormalization', inputs, { attributes });
  }
  const mean = node('mean', 'ReduceMean', node('square', 'Pow', x, graph.real(2)), graph.ints([-1]));
  const root = node('root', 'Sqrt', node('sum', 'Add', mean, graph.real(epsilon)));
  const weight = await graph.tensor(`${name}.gain`, gain);
  return graph.node(name, 'Mul', [node('divided', 'Div', x, root), weight]);
}

/** Blocks in standard operators and those of `com.microsoft` that an unmodified ONNX Runtime has. */
export class StockBlocks extends ModelBlocks {
  readonly cache: CacheRows;
  readonly #shared: SharedValues;

  private constructor(graph: ModelGraph, network: Network, weights: NetworkWeights, shared: SharedValues) {
    super(graph, network, weights);
    this.#shared = shared;
    this.cache = { dtype: 'float32', width: network.checkpoint.config.headDim };
  }

  static async open(graph: ModelGraph, network: Network, weights: NetworkWeights): Promise<StockBlocks> {
    return new StockBlocks(graph, network, weights, await sharedValues(graph, network.checkpoint.config));
  }

  async norm(name: string, x: string, gain: HostTensor<Float32Array> | null): Promise<string> {
    const { hiddenSize, rmsNormEps } = this.network.checkpoint.config;
    const ones = (): HostTensor<Float32Array> => float32([hiddenSize], new Float32Array(hiddenSize).fill(1));
    return rmsNormNodes(this.graph, name, x, gain ?? ones(), rmsNormEps);
  }

  protected product(name: string, x: string, { layer, linear, weight }: LinearLayer): Promise<string> {
    const quantizers = this.network.quantizers(layer);
    const { bits } = weightQuantizer(linear, quantizers);
    const level = levelOf(readBy(linear, quantizers));
    const what = `${linear} of layer ${layer}`;
    return weightProduct(this.graph, name, x, { matrix: weight, bits, what, level });
  }

  protected hadamard(name: string, x: string, transform: HadamardTransform, width: number): Promise<string> {
    return hadamardNodes(this.graph, name, x, transform, width);
  }

  protected acrossHeads(
    name: string,
    x: string,
    transform: HadamardTransform,
    width: number,
  ): Promise<string> {
    return acrossHeadsNodes(this.graph, name, x, transform, width);
  }

  protected gated(layer: number, gate: string, up: string): string {
    const { graph } = this;
    const at = `layers.${layer}`;
    const gated = graph.node(`${at}.silu`, 'Mul', [gate, graph.node(`${at}.sigmoid`, 'Sigmoid', [gate])]);
    return graph.node(`${at}.gated`, 'Mul', [gated, up]);
  }

  protected async attention(layer: number, { q, k, v }: Projections): Promise<string> {
    const graph = this.graph;
    const shared = this.#shared;
    const { config } = this.network.checkpoint;
    const { heads, kvHeads, headDim, layerWindows } = config;
    const { qNorm, kNorm } = this.network.checkpoint.layer(layer);
    const at = `layers.${layer}.attention`;
    const rotary = async (
      name: string,
      x: string,
      gain: Tensor | undefined,
      count: number,
    ): Promise<string> => {
      const normed = gain ? await this.#headNorm(name, x, gain, count) : x;
      const inputs = [normed, shared.positions, shared.cos, shared.sin];
      return graph.node(`${name}.rotary`, 'RotaryEmbedding', inputs, { domain: 'com.microsoft' });
    };
    const queries = await rotary(`${at}.q`, q, qNorm, heads);
    const keys = await rotary(`${at}.k`, k, kNorm, kvHeads);
    const past = [pastName(layer, 'key'), pastName(layer, 'value')];
    const window = layerWindows[layer] ?? null;
    return graph.node(
      at,
      'GroupQueryAttention',
      [queries, keys, v, ...past, shared.lastToken, shared.length],
      {
        domain: 'com.microsoft',
        more: [presentName(layer, 'key'), presentName(layer, 'value')],
        attributes: {
          num_heads: heads,
          kv_num_heads: kvHeads,
          scale: { float: 1 / Math.sqrt(headDim) },
          do_rotary: 0,
          ...(window !== null && { local_window_size: window }),
        },
      },
    );
  }

  /** Qwen3: normalises each head before it is turned by its position. */
  async #headNorm(name: string, x: string, gain: Tensor, count: number): Promise<string> {
    const graph = this.graph;
    const { headDim, rmsNormEps } = this.network.checkpoint.config;
    const heads = graph.node(`${name}.heads`, 'Reshape', [x, graph.ints([0, 0, count, headDim])]);
    const weight = float32([headDim], toFloat32(gain));
    const normed = await rmsNormNodes(graph, `${name}.norm`, heads, weight, rmsNormEps);
    return graph.node(`${name}.joined`, 'Reshape', [normed, graph.ints([0, 0, count * headDim])]);
  }
}

/** Positions and lengths, from the mask: a token that is masked does not count. */
async function sharedValues(graph: ModelGraph, config: ModelConfig): Promise<SharedValues> {
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
  return {
    positions,
    ...(await rotaryTables(graph, config)),
    lastToken: int32('last-token', graph.node('mask.last', 'Sub', [tokens, one])),
    length: int32('length', length),
  };
}

const INT32 = 6;
