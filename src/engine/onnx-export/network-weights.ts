import { LINEARS, type Linear } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { partialOf, recordOf } from '../../protocol/records.ts';
import { WEIGHT_IN_NEW_BASES } from '../calibration/statistics/observe-weight.ts';
import { Graph } from '../graph/graph.ts';
import { reshape, toReal } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import { LayerInputs } from '../network/layer-inputs.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import { keyOffset, weightBases } from '../network/linear-sites.ts';
import type { Network } from '../network/network.ts';
import type { DenseMatrix, GridMatrix, RoundedLayer } from '../network/rounded-weights.ts';
import { timesTransform } from '../network/side-transform.ts';
import { LinearWeights, type MappedWeight } from '../rounding/walk/linear-weights.ts';
import type { MappedWeightSpec } from '../rounding/walk/mapped-weight.ts';

const ONE_TOKEN = { batch: 1, sequence: 1 } as const;

/** Biases [1, out] in the new channels of what their layers write. */
const MAPPED_BIASES: ProgramKind<Omit<MappedWeightSpec, 'linear'>, Partial<Record<Linear, Reals>>> = {
  name: 'mapped-biases',
  build({ shape, types }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const outputs = partialOf(LINEARS, (linear) => {
      const bias = inputs.bias(linear);
      const row = bias && reshape(toReal(bias), [1, bias.dim(0)]);
      return row && timesTransform(row, weightBases(inputs, linear).left);
    });
    return { graph, outputs: recordOf(LINEARS, (linear) => outputs[linear] ?? null) };
  },
};

const MAPPED_KEY_MEAN: ProgramKind<Omit<MappedWeightSpec, 'linear'>, { mean: Reals }> = {
  name: 'mapped-key-mean',
  build({ shape, types }) {
    const graph = new Graph();
    const mean = keyOffset(new LayerInputs(graph, shape, types), shape, true);
    return { graph, outputs: { mean } };
  },
};

/** A linear layer as the network multiplies by it: rounded, or in its new channels only. */
export type NetworkWeight = GridMatrix | DenseMatrix;

/** The numbers of a quantized network, layer by layer, in the channels of its maps. */
export class NetworkWeights {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #linear: LinearWeights;
  #held: { readonly layer: number; readonly rounded: RoundedLayer } | null = null;

  /** @param network merged, with its maps. */
  constructor(cache: ProgramCache, network: Network) {
    this.#cache = cache;
    this.#network = network;
    this.#linear = new LinearWeights(cache, network);
  }

  /** The weight as a method rounded it, as it is rounded to nearest, or unrounded at 16 bits. */
  async of(layer: number, linear: Linear, signal?: AbortSignal): Promise<NetworkWeight> {
    const { rounded } = this.#network.options;
    if (rounded) {
      if (this.#held?.layer !== layer) this.#held = { layer, rounded: rounded.read(layer) };
      return this.#held.rounded[linear];
    }
    const { bits } = weightQuantizer(linear, this.#network.quantizers(layer));
    if (bits >= 16) return this.#unrounded(layer, linear, signal);
    return gridOf(await this.#linear.mapped(layer, linear, signal), { layer, linear });
  }

  async biases(layer: number, signal?: AbortSignal): Promise<Partial<Record<Linear, Float32Array>>> {
    const { shape, types, tensors } = this.#network.layerContext(layer, ONE_TOKEN);
    if (!LINEARS.some((linear) => types[`${linear}Bias`])) return {};
    const program = await this.#cache.get(MAPPED_BIASES, { shape, types });
    const found = await program.run({ ...tensors, ...this.#network.maps(layer) }, signal);
    return partialOf(LINEARS, (linear) => found[linear]?.data);
  }

  /** The mean of the keys [G·h] in the new channels of what their layer writes. */
  async keyMean(layer: number, signal?: AbortSignal): Promise<Float32Array> {
    const { shape, types, tensors } = this.#network.layerContext(layer, ONE_TOKEN);
    const program = await this.#cache.get(MAPPED_KEY_MEAN, { shape, types });
    return (await program.run({ ...tensors, ...this.#network.maps(layer) }, signal)).mean.data;
  }

  async #unrounded(layer: number, linear: Linear, signal?: AbortSignal): Promise<DenseMatrix> {
    const { shape, types, tensors } = this.#network.layerContext(layer, ONE_TOKEN);
    const spec = { linear, shape: { config: shape.config, maps: shape.maps }, types };
    const program = await this.#cache.get(WEIGHT_IN_NEW_BASES, spec);
    const { w } = await program.run({ ...tensors, ...this.#network.maps(layer) }, signal);
    const [rows = 0, columns = 0] = w.dims;
    return { rows, columns, values: w };
  }
}

/** Codes of what was rounded to nearest: c = Ŵ/s + z, a whole number but for its last bit. */
function gridOf(
  { nearest, scale, zero }: MappedWeight,
  { layer, linear }: { readonly layer: number; readonly linear: Linear },
): GridMatrix {
  const [rows = 0, columns = 0] = nearest.dims;
  const codes = new Int8Array(nearest.data.length);
  const perGroup = codes.length / scale.data.length;
  for (let i = 0; i < codes.length; i++) {
    const group = Math.floor(i / perGroup);
    const code = Math.round(nearest.data[i]! / scale.data[group]!) + zero.data[group]!;
    if (Number.isNaN(code))
      throw new UserError(
        'export/not-finite',
        `The weights of ${linear} in layer ${layer}, with its maps in them, are not all finite.`,
        'Check the checkpoint: another copy of it, or another rotation or scaling, may help.',
      );
    codes[i] = code;
  }
  return { rows, columns, codes, scale: scale.data, zero: zero.data };
}
