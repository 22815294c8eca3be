import { toFloat32 } from '../../formats/tensor-io.ts';
import type { Linear } from '../../protocol/block.ts';
import type { WeightChoice } from '../../protocol/export-formats.ts';
import { float32 } from '../../protocol/tensor.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Network } from '../network/network.ts';
import { roundedValues } from '../network/rounded-weights.ts';
import { type NetworkWeight, NetworkWeights } from '../onnx-export/network-weights.ts';
import { withoutRounding } from './network-forms.ts';
import { runTimeMaps, WITHOUT_RUN_TIME_MAP } from './run-time-maps.ts';

/** The numbers of a network as other programs take them, layer by layer: rotations and gains are merged. */
export class MergedWeights {
  readonly network: Network;
  readonly #cache: ProgramCache;
  readonly #weights: NetworkWeights;
  #biases: { readonly layer: number; readonly biases: Partial<Record<Linear, Float32Array>> } | null = null;

  /** @param network merged, with its maps. */
  constructor(cache: ProgramCache, network: Network, choice: WeightChoice) {
    this.#cache = cache;
    this.network = choice === 'rounded' ? network : withoutRounding(cache, network);
    this.#weights = new NetworkWeights(cache, this.network);
  }

  /** Ŵ [out, in] as the network multiplies by it, behind the maps of run time. */
  of(layer: number, linear: Linear, signal?: AbortSignal): Promise<NetworkWeight> {
    return this.#weights.of(layer, linear, signal);
  }

  /** The same as numbers. */
  async numbers(layer: number, linear: Linear, signal?: AbortSignal): Promise<Float32Array> {
    return roundedValues(await this.of(layer, linear, signal));
  }

  /** Ŵ [out, in] for a network without maps at run time: these are folded back into it, in float32. */
  async folded(layer: number, linear: Linear, signal?: AbortSignal): Promise<Float32Array> {
    const matrix = await this.of(layer, linear, signal);
    const values = roundedValues(matrix);
    const map = this.mapBefore(linear);
    if (map === null) return values;
    const { rows, columns } = matrix;
    const program = await this.#cache.get(WITHOUT_RUN_TIME_MAP, { rows, columns, map });
    return (await program.run({ w: float32([rows, columns], values) }, signal)).folded.data;
  }

  /** The map that is computed at run time in front of a layer; null where there is none. */
  mapBefore(linear: Linear) {
    return runTimeMaps(this.network.options.maps).find((placed) => placed.linear === linear)?.map ?? null;
  }

  /** Biases in the channels that their layers write. */
  async biases(layer: number, signal?: AbortSignal): Promise<Partial<Record<Linear, Float32Array>>> {
    if (this.#biases?.layer !== layer)
      this.#biases = { layer, biases: await this.#weights.biases(layer, signal) };
    return this.#biases.biases;
  }

  /** What a norm's output is multiplied by [d]: ones, or the scales of a method, since its own gain is in the weights. */
  gain(layer: number, seam: 'attention-norm' | 'mlp-norm'): Float32Array {
    const { hiddenSize } = this.network.checkpoint.config;
    if (this.network.options.maps[seam]?.kind !== 'diagonal') return new Float32Array(hiddenSize).fill(1);
    const scales = this.network.maps(layer)[seam];
    if (!scales) throw new Error(`the map at ${seam} has no numbers`);
    return toFloat32(scales);
  }

  /** Rows first … first + count − 1 of the embeddings [count, d], in the channels of the residual. */
  async embeddingRows(first: number, count: number, signal?: AbortSignal): Promise<Float32Array> {
    const ids = Int32Array.from({ length: count }, (_, i) => first + i);
    return (await this.network.embed(ids, signal)).data;
  }

  /** The same of the output layer, with the gain of the last norm. */
  async headRows(first: number, count: number, signal?: AbortSignal): Promise<Float32Array> {
    return (await this.network.headRows(first, count, signal)).data;
  }
}
