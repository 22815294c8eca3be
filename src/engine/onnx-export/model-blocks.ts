import { toFloat32 } from '../../formats/tensor-io.ts';
import type { Linear, SeamName } from '../../protocol/block.ts';
import { type DType, elementCount, float32, type HostTensor, type Tensor } from '../../protocol/tensor.ts';
import type { HadamardTransform } from '../graph/fused/hadamard.ts';
import { kroneckerParts } from '../network/kronecker.ts';
import type { Network } from '../network/network.ts';
import type { ModelGraph } from './model-graph.ts';
import type { NetworkWeight, NetworkWeights } from './network-weights.ts';

export type CacheRole = 'key' | 'value';

export const pastName = (layer: number, role: CacheRole): string => `past_key_values.${layer}.${role}`;
export const presentName = (layer: number, role: CacheRole): string => `present.${layer}.${role}`;

/** Keys or values of tokens in the inputs and outputs of a model: [batch, G, tokens, width]. */
export interface CacheRows {
  readonly dtype: DType;
  readonly width: number;
}

/** A linear layer of a block, with its weight. */
export interface LinearLayer {
  readonly layer: number;
  readonly linear: Linear;
  readonly weight: NetworkWeight;
}

/** Queries [batch, sequence, H·h], keys and values [batch, sequence, G·h] as linear layers give them. */
export interface Projections extends Readonly<Record<'q' | 'k' | 'v', string>> {
  /** The part of the keys that is taken out before they are rounded, float32 [G·h]; null for none. */
  readonly keyBias: string | null;
}

const biasName = (layer: number, linear: Linear): string => `layers.${layer}.${linear}.bias`;

/** Builds the blocks of a network, each from the residual x [batch, sequence, d] to the next, in a target's operators. */
export abstract class ModelBlocks {
  protected readonly graph: ModelGraph;
  protected readonly network: Network;
  readonly #weights: NetworkWeights;

  protected constructor(graph: ModelGraph, network: Network, weights: NetworkWeights) {
    this.graph = graph;
    this.network = network;
    this.#weights = weights;
  }

  abstract readonly cache: CacheRows;

  /** Root mean square normalisation of the last axis. @param gain null for none. */
  abstract norm(name: string, x: string, gain: HostTensor<Float32Array> | null): Promise<string>;

  /** y = Q(x) Ŵᵀ. */
  protected abstract product(
    name: string,
    x: string,
    layer: LinearLayer,
    signal?: AbortSignal,
  ): Promise<string>;

  protected abstract hadamard(
    name: string,
    x: string,
    transform: HadamardTransform,
    width: number,
  ): Promise<string>;

  /** The transform of the heads of x [batch, sequence, width] into each other. */
  protected abstract acrossHeads(
    name: string,
    x: string,
    transform: HadamardTransform,
    width: number,
  ): Promise<string>;

  /** silu(gate) ∘ up. */
  protected abstract gated(layer: number, gate: string, up: string): string;

  /** The mixed values [batch, sequence, H·h]; adds the layer's outputs {@link presentName}. */
  protected abstract attention(layer: number, projections: Projections): Promise<string>;

  async block(layer: number, x: string, signal?: AbortSignal): Promise<string> {
    const graph = this.graph;
    const at = `layers.${layer}`;
    const biases = await this.#weights.biases(layer, signal);
    const linear = (name: Linear, input: string): Promise<string> =>
      this.#linear({ layer, linear: name, bias: biases[name] }, input, signal);
    const attentionInput = await this.#normed(layer, 'attention-norm', x);
    const [q, k, v] = [
      await linear('q', attentionInput),
      await linear('k', attentionInput),
      await linear('v', attentionInput),
    ];
    const keyBias = await this.#keyOffset(layer, biases.k !== undefined, signal);
    const mixed = await this.attention(layer, { q, k, v, keyBias });
    const turned = await this.#mapped(layer, 'across-heads', mixed);
    const attended = graph.node(`${at}.attended`, 'Add', [x, await linear('o', turned)]);
    const mlpInput = await this.#normed(layer, 'mlp-norm', attended);
    const gate = await linear('gate', mlpInput);
    const up = await linear('up', mlpInput);
    const product = await this.#mapped(layer, 'up-down', this.gated(layer, gate, up));
    return graph.node(`${at}.out`, 'Add', [attended, await linear('down', product)]);
  }

  /** What is taken out of the keys: their mean, or their bias where they have one; null for none. */
  async #keyOffset(layer: number, hasBias: boolean, signal?: AbortSignal): Promise<string | null> {
    if (this.network.quantizers(layer).keyOffset !== 'mean') return hasBias ? biasName(layer, 'k') : null;
    const mean = await this.#weights.keyMean(layer, signal);
    return this.graph.tensor(`layers.${layer}.k.mean`, float32([mean.length], mean));
  }

  /** The gain of the norm itself is in the weights; a diagonal map that stands there is in its place. */
  async #normed(layer: number, seam: 'attention-norm' | 'mlp-norm', x: string): Promise<string> {
    const { hiddenSize } = this.network.checkpoint.config;
    const isDiagonal = this.network.options.maps[seam]?.kind === 'diagonal';
    const gain = isDiagonal ? float32([hiddenSize], this.#numbers(layer, seam)) : null;
    const normed = await this.norm(`layers.${layer}.${seam}`, x, gain);
    return isDiagonal ? normed : this.#mapped(layer, seam, normed);
  }

  /** Rows times the map that stands at a seam at run time. */
  async #mapped(layer: number, seam: SeamName, x: string): Promise<string> {
    const map = this.network.options.maps[seam];
    const { intermediateSize, heads, headDim, hiddenSize } = this.network.checkpoint.config;
    if (!map) return x;
    const graph = this.graph;
    const name = `layers.${layer}.${seam}.map`;
    const width =
      seam === 'up-down' ? intermediateSize : seam === 'across-heads' ? heads * headDim : hiddenSize;
    switch (map.kind) {
      case 'hadamard':
        return this.hadamard(name, x, map.transform, width);
      case 'across-heads':
        return this.acrossHeads(name, x, map.transform, width);
      case 'diagonal': {
        const factors = await graph.tensor(`${name}.factors`, float32([width], this.#numbers(layer, seam)));
        return graph.node(name, 'Mul', [x, factors]);
      }
      case 'dense': {
        const matrix = float32([width, width], this.#numbers(layer, seam));
        return graph.node(name, 'MatMul', [x, await graph.tensor(`${name}.matrix`, matrix)]);
      }
      case 'kronecker':
        return this.#kronecker(name, x, this.#numbers(layer, seam), width);
      case 'heads':
      case 'each-head':
        throw new Error(`no map of heads stands at ${seam} at run time`);
    }
  }

  /** Rows as matrices [n₁, n₂] between Pᵀ₁ and P₂: two products that every runtime has. */
  async #kronecker(name: string, x: string, numbers: Float32Array, width: number): Promise<string> {
    const graph = this.graph;
    const parts = kroneckerParts(width);
    const given = (part: 'gain' | 'left' | 'right'): Float32Array => {
      const { start, dims } = parts[part];
      return numbers.slice(start, start + elementCount(dims));
    };
    const [n1 = 0] = parts.left.dims;
    const left = float32(
      parts.left.dims,
      given('left').map((_, i, all) => all[(i % n1) * n1 + Math.floor(i / n1)]!),
    );
    const gain = await graph.tensor(`${name}.gain`, float32([width], given('gain')));
    const scaled = graph.node(`${name}.scaled`, 'Mul', [x, gain]);
    const rows = graph.node(`${name}.rows`, 'Reshape', [scaled, graph.ints([0, 0, n1, width / n1])]);
    const right = await graph.tensor(`${name}.right`, float32(parts.right.dims, given('right')));
    const inner = graph.node(`${name}.inner`, 'MatMul', [rows, right]);
    const outer = graph.node(`${name}.outer`, 'MatMul', [await graph.tensor(`${name}.left`, left), inner]);
    return graph.node(name, 'Reshape', [outer, graph.ints([0, 0, width])]);
  }

  #numbers(layer: number, seam: SeamName): Float32Array {
    const tensor: Tensor | undefined = this.network.maps(layer)[seam];
    if (!tensor) throw new Error(`the map at ${seam} has no numbers`);
    return toFloat32(tensor);
  }

  async #linear(
    { layer, linear, bias }: Omit<LinearLayer, 'weight'> & { readonly bias: Float32Array | undefined },
    x: string,
    signal?: AbortSignal,
  ): Promise<string> {
    const graph = this.graph;
    const name = `layers.${layer}.${linear}`;
    const weight = await this.#weights.of(layer, linear, signal);
    const product = await this.product(name, x, { layer, linear, weight }, signal);
    if (!bias) return product;
    const row = await graph.tensor(biasName(layer, linear), float32([bias.length], bias));
    return graph.node(`${name}.biased`, 'Add', [product, row]);
  }
}
