import { LINEARS, type RoundedPart } from '../../protocol/block.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32 } from '../../protocol/tensor.ts';
import { concatenate, nextTokens } from '../calibration/tokens.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { preparedName } from '../network/layer-inputs.ts';
import type { BatchShape } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import {
  bitsOfPart,
  derivativesOf,
  evenGates,
  GATED,
  GATED_BACKWARD,
  gateName,
  roundedParts,
  wholeName,
} from './gated-layer.ts';

/** Two networks of the same maps, both with weights as numbers. */
export interface GatedNetworks {
  /** Merged, at full precision. */
  readonly exact: Network;
  /** Merged and quantized, as deployed. */
  readonly quantized: Network;
}

/** How far each rounding of a layer is switched on: 0 not at all, 1 as deployed. */
export type Gates = Readonly<Record<RoundedPart, number>>;

/** Sequences that go through the network together. */
export interface Sequences {
  readonly ids: Int32Array;
  readonly shape: BatchShape;
}

export function sequencesOf(windows: readonly Int32Array[]): Sequences {
  const sequence = windows[0]?.length ?? 0;
  return { ids: concatenate(windows), shape: { batch: windows.length, sequence } };
}

/** Tokens of these sequences that predict another. */
export const predicted = ({ shape: { batch, sequence } }: Sequences): number => batch * (sequence - 1);

/** What a pass back through a layer gives: ∂loss/∂γ [T] by part. */
export type GateDerivatives = Partial<Record<RoundedPart, Float32Array>>;

/** The network between full precision and quantized, with a gate at each rounding. */
export class GatedNetwork {
  readonly #cache: ProgramCache;
  readonly #networks: GatedNetworks;
  readonly #signal: AbortSignal | undefined;

  constructor(cache: ProgramCache, networks: GatedNetworks, signal?: AbortSignal) {
    this.#cache = cache;
    this.#networks = networks;
    this.#signal = signal;
  }

  get layers(): number {
    return this.#networks.exact.layers;
  }

  /** What is rounded in a layer. */
  parts(layer: number): RoundedPart[] {
    return roundedParts(this.#networks.quantized.quantizers(layer));
  }

  /** Bits that a part of a layer is rounded to. */
  bits(layer: number, part: RoundedPart): number {
    return bitsOfPart(part, this.#networks.quantized.quantizers(layer));
  }

  embed({ ids }: Sequences): Promise<Reals> {
    return this.#networks.exact.embed(ids, this.#signal);
  }

  /** y = layer(x) with these gates. */
  async layer(index: number, x: Reals, { shape }: Sequences, gates: Gates): Promise<Reals> {
    throwIfCancelled(this.#signal);
    const { spec, tensors } = await this.#context(index, shape);
    const program = await this.#cache.get(GATED, spec);
    return (await program.run({ ...tensors, ...this.#gates(index, shape, gates), x }, this.#signal)).y;
  }

  /** All layers from one on, all gates 0 or all 1: without the price of gates. @returns nats per predicted token. */
  async loss(from: number, x: Reals, sequences: Sequences, form: 'exact' | 'quantized'): Promise<number> {
    const network = this.#networks[form];
    let y = x;
    for (let layer = from; layer < this.layers; layer++) {
      throwIfCancelled(this.#signal);
      y = await network.layer(layer, y, sequences.shape, this.#signal);
    }
    const nll = await network.loss(y, nextTokens(sequences.ids, sequences.shape.sequence), this.#signal);
    return nll.reduce((sum, value) => sum + value, 0) / predicted(sequences);
  }

  /** Residuals before each layer and behind the last, with all gates open so far. */
  async residuals(sequences: Sequences, share: number): Promise<Reals[]> {
    const residuals = [await this.embed(sequences)];
    // At both ends, networks without gates compute the same.
    const { exact, quantized } = this.#networks;
    const own = share === 0 ? exact : share === 1 ? quantized : null;
    for (let layer = 0; layer < this.layers; layer++) {
      throwIfCancelled(this.#signal);
      const x = residuals[layer]!;
      residuals.push(
        own
          ? await own.layer(layer, x, sequences.shape, this.#signal)
          : await this.layer(layer, x, sequences, evenGates(share)),
      );
    }
    return residuals;
  }

  /**
   * Forward and back with all gates open so far.
   * @param weight of each token in the loss, Σ weight·nll.
   * @returns by layer, and the mean loss in nats per predicted token.
   */
  async derivatives(
    sequences: Sequences,
    share: number,
    weight: number,
  ): Promise<{ readonly loss: number; readonly layers: readonly GateDerivatives[] }> {
    const { shape, ids } = sequences;
    const residuals = await this.residuals(sequences, share);
    const labels = nextTokens(ids, shape.sequence);
    const { exact } = this.#networks;
    const { nll, dx } = await exact.lossBackward(residuals.pop()!, labels, weight, this.#signal);
    const loss = nll.reduce((sum, value) => sum + value, 0) / predicted(sequences);
    const layers: GateDerivatives[] = [];
    let dy = dx;
    for (let index = this.layers - 1; index >= 0; index--) {
      throwIfCancelled(this.#signal);
      const { spec, tensors } = await this.#context(index, shape);
      const program = await this.#cache.get(GATED_BACKWARD, spec);
      const inputs = { ...tensors, ...this.#gates(index, shape, evenGates(share)), x: residuals.pop()!, dy };
      const out = await program.run(inputs, this.#signal);
      layers[index] = derivativesOf(out);
      dy = out.dx;
    }
    return { loss, layers };
  }

  #gates(index: number, { batch, sequence }: BatchShape, gates: Gates): Tensors {
    const tokens = batch * sequence;
    return Object.fromEntries(
      this.parts(index).map((part) => [
        gateName(part),
        float32([tokens, 1], new Float32Array(tokens).fill(gates[part])),
      ]),
    );
  }

  async #context(index: number, shape: BatchShape) {
    const { exact, quantized } = this.#networks;
    const { shape: layer, types } = quantized.layerContext(index, shape);
    const whole = await exact.layerInputs(index, shape, this.#signal);
    const own = await quantized.layerInputs(index, shape, this.#signal);
    const wholes = LINEARS.map((linear) => [wholeName(linear), whole[preparedName(linear)]!]);
    return { spec: { shape: layer, types }, tensors: { ...own, ...Object.fromEntries(wholes) } };
  }
}
