import { toFloat32 } from '../../formats/tensor-io.ts';
import type { Linear, SeamName } from '../../protocol/block.ts';
import { float32, type HostTensor, type Tensor } from '../../protocol/tensor.ts';
import type { Network } from '../network/network.ts';
import { roundedValues } from '../network/rounded-weights.ts';
import { blockWeight } from './block-weight.ts';
import { acrossHeadsNodes, hadamardNodes } from './hadamard-nodes.ts';
import type { NetworkWeights } from './network-weights.ts';
import type { StockGraph } from './stock-graph.ts';
import { type AccuracyLevel, blockProduct, halfProduct, wholeTable } from './stored-weights.ts';

/** Values that all blocks read. */
export interface SharedValues {
  /** int64 [batch, sequence] */
  readonly positions: string;
  /** Rotary tables, float32 [positions, h/2]. */
  readonly cos: string;
  readonly sin: string;
  /** int32 [batch]: tokens of each sequence, less one. */
  readonly lastToken: string;
  /** int32 []: tokens of the longest sequence. */
  readonly length: string;
}

export const pastName = (layer: number, what: 'key' | 'value'): string => `past_key_values.${layer}.${what}`;
export const presentName = (layer: number, what: 'key' | 'value'): string => `present.${layer}.${what}`;

/** Root mean square normalisation of the last axis, in the operators that ONNX Runtime fuses into one. */
export async function rmsNormNodes(
  graph: StockGraph,
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

/** Builds the blocks of a network, each from the residual x [batch, sequence, d] to the next. */
export class StockBlocks {
  readonly #graph: StockGraph;
  readonly #network: Network;
  readonly #weights: NetworkWeights;
  readonly #level: AccuracyLevel;

  constructor(graph: StockGraph, network: Network, weights: NetworkWeights, level: AccuracyLevel) {
    this.#graph = graph;
    this.#network = network;
    this.#weights = weights;
    this.#level = level;
  }

  async block(layer: number, x: string, shared: SharedValues, signal?: AbortSignal): Promise<string> {
    const graph = this.#graph;
    const at = `layers.${layer}`;
    const biases = await this.#weights.biases(layer, signal);
    const product = (linear: Linear, input: string): Promise<string> =>
      this.#product({ layer, linear, bias: biases[linear] }, input, signal);
    const attentionInput = await this.#normed(layer, 'attention-norm', x);
    const [q, k, v] = [
      await product('q', attentionInput),
      await product('k', attentionInput),
      await product('v', attentionInput),
    ];
    const mixed = await this.#attention(layer, { q, k, v }, shared);
    const turned = await this.#mapped(layer, 'across-heads', mixed);
    const attended = graph.node(`${at}.attended`, 'Add', [x, await product('o', turned)]);
    const mlpInput = await this.#normed(layer, 'mlp-norm', attended);
    const gate = await product('gate', mlpInput);
    const up = await product('up', mlpInput);
    const gated = graph.node(`${at}.silu`, 'Mul', [gate, graph.node(`${at}.sigmoid`, 'Sigmoid', [gate])]);
    const turnedProduct = await this.#mapped(layer, 'up-down', graph.node(`${at}.gated`, 'Mul', [gated, up]));
    return graph.node(`${at}.out`, 'Add', [attended, await product('down', turnedProduct)]);
  }

  /** The gain of the norm itself is in the weights; a diagonal map that stands there is in its place. */
  async #normed(layer: number, seam: 'attention-norm' | 'mlp-norm', x: string): Promise<string> {
    const { hiddenSize, rmsNormEps } = this.#network.checkpoint.config;
    const isDiagonal = this.#network.options.maps[seam]?.kind === 'diagonal';
    const gain = isDiagonal ? this.#numbers(layer, seam) : new Float32Array(hiddenSize).fill(1);
    const name = `layers.${layer}.${seam}`;
    const normed = await rmsNormNodes(this.#graph, name, x, float32([hiddenSize], gain), rmsNormEps);
    return isDiagonal ? normed : this.#mapped(layer, seam, normed);
  }

  /** Rows times the map that stands at a seam at run time. */
  async #mapped(layer: number, seam: SeamName, x: string): Promise<string> {
    const map = this.#network.options.maps[seam];
    const { intermediateSize, heads, headDim, hiddenSize } = this.#network.checkpoint.config;
    if (!map) return x;
    const graph = this.#graph;
    const name = `layers.${layer}.${seam}.map`;
    const width =
      seam === 'up-down' ? intermediateSize : seam === 'across-heads' ? heads * headDim : hiddenSize;
    switch (map.kind) {
      case 'hadamard':
        return hadamardNodes(graph, name, x, map.transform, width);
      case 'across-heads':
        return acrossHeadsNodes(graph, name, x, map.transform, width);
      case 'diagonal': {
        const factors = await graph.tensor(`${name}.factors`, float32([width], this.#numbers(layer, seam)));
        return graph.node(name, 'Mul', [x, factors]);
      }
      case 'dense': {
        const matrix = float32([width, width], this.#numbers(layer, seam));
        return graph.node(name, 'MatMul', [x, await graph.tensor(`${name}.matrix`, matrix)]);
      }
      case 'heads':
        throw new Error(`no map of heads stands at ${seam} at run time`);
    }
  }

  #numbers(layer: number, seam: SeamName): Float32Array {
    const tensor: Tensor | undefined = this.#network.maps(layer)[seam];
    if (!tensor) throw new Error(`the map at ${seam} has no numbers`);
    return toFloat32(tensor);
  }

  async #attention(
    layer: number,
    { q, k, v }: Readonly<Record<'q' | 'k' | 'v', string>>,
    shared: SharedValues,
  ): Promise<string> {
    const graph = this.#graph;
    const { config } = this.#network.checkpoint;
    const { heads, kvHeads, headDim, layerWindows } = config;
    const { qNorm, kNorm } = this.#network.checkpoint.layer(layer);
    const at = `layers.${layer}.attention`;
    const rotary = async (
      name: string,
      x: string,
      gain: Tensor | undefined,
      count: number,
    ): Promise<string> => {
      const normed = gain ? await this.#headNorm(name, x, gain, count) : x;
      const inputs = [normed, shared.positions, shared.cos, shared.sin];
      return graph.node(`${name}.rotary`, 'RotaryEmbedding', inputs, { contrib: true });
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
        contrib: true,
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
    const graph = this.#graph;
    const { headDim, rmsNormEps } = this.#network.checkpoint.config;
    const heads = graph.node(`${name}.heads`, 'Reshape', [x, graph.ints([0, 0, count, headDim])]);
    const weight = float32([headDim], toFloat32(gain));
    const normed = await rmsNormNodes(graph, `${name}.norm`, heads, weight, rmsNormEps);
    return graph.node(`${name}.joined`, 'Reshape', [normed, graph.ints([0, 0, count * headDim])]);
  }

  async #product(
    { layer, linear, bias }: { layer: number; linear: Linear; bias: Float32Array | undefined },
    x: string,
    signal?: AbortSignal,
  ): Promise<string> {
    const graph = this.#graph;
    const name = `layers.${layer}.${linear}`;
    const matrix = await this.#weights.of(layer, linear, signal);
    const { bits } = this.#network.options.quantizers.weights;
    const product =
      'codes' in matrix
        ? await blockProduct(
            graph,
            name,
            x,
            blockWeight(matrix, bits, `${linear} of layer ${layer}`),
            this.#level,
          )
        : await halfProduct(graph, name, x, matrix, wholeTable(roundedValues(matrix)));
    if (!bias) return product;
    const row = await graph.tensor(`${name}.bias`, float32([bias.length], bias));
    return graph.node(`${name}.biased`, 'Add', [product, row]);
  }
}
