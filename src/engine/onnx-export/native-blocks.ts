import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { quantizerAttributes } from '../graph/fused/fake-quantize.ts';
import type { HadamardTransform } from '../graph/fused/hadamard.ts';
import { packedAttributes } from '../graph/fused/int4-matmul.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { isPacked, PACK, packedNames, packedPartsOf, readBy } from '../network/packed-weights.ts';
import type { GridMatrix } from '../network/rounded-weights.ts';
import { type CacheRows, type LinearLayer, ModelBlocks, type Projections } from './model-blocks.ts';
import type { ModelGraph } from './model-graph.ts';
import { cacheRowsOf, NativeAttention, type TokenPlaces, tokenPlaces } from './native-attention.ts';
import { ownHadamard, ownNode, ownNorm } from './native-nodes.ts';
import type { NetworkWeights } from './network-weights.ts';
import { weightProduct } from './stored-weights.ts';

/** Blocks in the operators of our library: what the engine's network of whole numbers computes. */
export class NativeBlocks extends ModelBlocks {
  readonly cache: CacheRows;
  readonly #programs: ProgramCache;
  readonly #places: TokenPlaces;
  readonly #rounded = new Set<string>();

  private constructor(
    graph: ModelGraph,
    network: Network,
    weights: NetworkWeights,
    places: TokenPlaces,
    programs: ProgramCache,
  ) {
    super(graph, network, weights);
    this.#programs = programs;
    this.#places = places;
    this.cache = cacheRowsOf(network);
  }

  /** @param programs compiled ones, which pack weights. */
  static async open(
    graph: ModelGraph,
    network: Network,
    weights: NetworkWeights,
    programs: ProgramCache,
  ): Promise<NativeBlocks> {
    const places = await tokenPlaces(graph, network);
    return new NativeBlocks(graph, network, weights, places, programs);
  }

  async norm(name: string, x: string, gain: HostTensor<Float32Array> | null): Promise<string> {
    const { graph } = this;
    const epsilon = this.network.checkpoint.config.rmsNormEps;
    if (!gain) return ownNorm(graph, name, x, epsilon);
    const weight = await graph.tensor(`${name}.gain`, gain);
    return graph.node(name, 'Mul', [ownNorm(graph, `${name}.normed`, x, epsilon), weight]);
  }

  /** Products that are not of whole numbers have the run's own codes of activations, as numbers. */
  protected async product(name: string, x: string, at: LinearLayer, signal?: AbortSignal): Promise<string> {
    const { layer, linear, weight } = at;
    const quantizers = this.network.quantizers(layer);
    const form = { weightForm: 'packed', quantizers, config: this.network.checkpoint.config } as const;
    if ('codes' in weight && isPacked(linear, form)) return this.#packed(name, x, { ...at, weight }, signal);
    const { bits } = weightQuantizer(linear, quantizers);
    const stored = { matrix: weight, bits, what: `${linear} of layer ${layer}`, level: 0 } as const;
    return weightProduct(this.graph, name, this.#readBy(at, x), stored);
  }

  async #packed(
    name: string,
    x: string,
    { layer, linear, weight }: LinearLayer & { readonly weight: GridMatrix },
    signal?: AbortSignal,
  ): Promise<string> {
    const quantizers = this.network.quantizers(layer);
    const { rows, columns, codes, scale, zero } = weight;
    const groups = scale.length / rows;
    const program = await this.#programs.get(PACK, { linear, rows, columns, groups, quantizers });
    const numbers = { kind: 'host', dtype: 'int8', dims: [rows, columns], data: codes } as const;
    const grid = { scale: float32([rows, groups], scale), zero: float32([rows, groups], zero) };
    const packed = await program.run({ codes: numbers, ...grid }, signal);
    const names = packedNames(linear);
    const inputs = [
      x,
      await this.graph.tensor(`${name}.packed`, packed[names.bytes]!),
      await this.graph.tensor(`${name}.grid`, packed[names.grid]!),
    ];
    const parts = packedPartsOf(linear, columns, quantizers);
    const { group: _, ...rounding } = quantizerAttributes(readBy(linear, quantizers), 0);
    const attributes = { ...packedAttributes(rows, columns, parts), ...rounding };
    return ownNode(this.graph, name, 'Int4MatMul', inputs, attributes);
  }

  /** What a linear layer reads, rounded once for all that read it. */
  #readBy({ layer, linear, weight }: LinearLayer, x: string): string {
    const quantizer = readBy(linear, this.network.quantizers(layer));
    if (quantizer.bits >= 16) return x;
    const name = `${x}.rounded`;
    if (this.#rounded.has(name)) return name;
    this.#rounded.add(name);
    const group = quantizer.group === weight.columns ? 0 : quantizer.group;
    return ownNode(this.graph, name, 'FakeQuantize', [x], quantizerAttributes(quantizer, group));
  }

  protected hadamard(name: string, x: string, transform: HadamardTransform): Promise<string> {
    return ownHadamard(this.graph, name, x, transform);
  }

  protected async acrossHeads(
    name: string,
    x: string,
    transform: HadamardTransform,
    width: number,
  ): Promise<string> {
    const { graph } = this;
    const heads = transform.block;
    const attributes = { perm: [0, 1, 3, 2] };
    const split = graph.node(`${name}.heads`, 'Reshape', [x, graph.ints([0, 0, heads, width / heads])]);
    const byChannel = graph.node(`${name}.channels`, 'Transpose', [split], { attributes });
    const mixed = await ownHadamard(graph, `${name}.mixed`, byChannel, transform);
    const back = graph.node(`${name}.back`, 'Transpose', [mixed], { attributes });
    return graph.node(name, 'Reshape', [back, graph.ints([0, 0, width])]);
  }

  protected gated(layer: number, gate: string, up: string): string {
    return ownNode(this.graph, `layers.${layer}.gated`, 'SwiGlu', [gate, up]);
  }

  protected attention(layer: number, projections: Projections): Promise<string> {
    return new NativeAttention(this.graph, this.network, this.#places, layer).nodes(projections);
  }
}
