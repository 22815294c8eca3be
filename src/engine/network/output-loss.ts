import type { DType, FileTensor, HostTensor } from '../../protocol/tensor.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import type { ProgramCache } from '../graph/program-cache.ts';

/** Input of the output layer [T, d]. */
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

/** Everything that decides a program which reads the output layer, but for how much of it. */
export interface HeadSpec {
  readonly tokens: number;
  readonly width: number;
  readonly dtype: DType;
  readonly precision: Precision;
}

/** The output layer and the memory for its logits. */
export class HeadLoss {
  protected readonly cache: ProgramCache;
  /** The output layer [V, d], in its file. */
  protected readonly head: FileTensor;
  /** Logits in memory at once. */
  protected readonly logitElements: number;
  protected readonly precision: Precision;

  constructor(
    cache: ProgramCache,
    head: FileTensor,
    logitElements: number,
    precision: Precision = 'float32',
  ) {
    this.cache = cache;
    this.head = head;
    this.logitElements = logitElements;
    this.precision = precision;
  }

  /** V. */
  protected get vocabulary(): number {
    return this.head.dims[0] ?? 0;
  }

  protected headSpec({ dims, data }: Hidden): HeadSpec {
    const tokens = dims[0] ?? 0;
    const dtype = this.cache.runtime.inputType(this.head.dtype);
    return { tokens, width: data.length / tokens, dtype, precision: this.precision };
  }
}
