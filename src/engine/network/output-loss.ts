import type { HostTensor } from '../../protocol/tensor.ts';

/** What the output layer reads [T, d]. */
export type Hidden = HostTensor<Float32Array>;

/** Next-token loss from what the output layer reads, in bounded memory. A negative label is not counted: loss 0. */
export interface OutputLoss {
  /** @param labels token ids [T]. @returns nll [T] in nats. */
  forward(hidden: Hidden, labels: Int32Array, signal?: AbortSignal): Promise<Float32Array>;
  /** @returns nll [T] and ∂/∂hidden [T, d] of Σ weight·nll over the counted tokens. */
  backward(
    hidden: Hidden,
    labels: Int32Array,
    weight: number,
    signal?: AbortSignal,
  ): Promise<{ nll: Float32Array; dhidden: Hidden }>;
}
