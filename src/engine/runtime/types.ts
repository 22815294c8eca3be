import type { DType, HostTensor, Tensor } from '../../protocol/tensor.ts';

/** Where the custom operators of domain `spinquant` come from. */
export type KernelSource = 'native' | 'composed';

/** An ONNX Runtime with or without our native operators. One per process. */
export interface Runtime {
  /** For people and provenance: `onnxruntime 1.30.0, native kernels avx512, 2 threads`. */
  readonly description: string;
  readonly ortVersion: string;
  /** `native`: graphs may hold `spinquant` nodes. `composed`: lower them first (graph/lower.ts). */
  readonly kernels: KernelSource;
  readonly threads: number;
  /** The type that a graph must declare for an input stored as `dtype`: not every binding takes bfloat16. */
  inputType(dtype: DType): DType;
  createSession(
    model: Uint8Array,
    outputs: Readonly<Record<string, OutputSpec>>,
    settings?: SessionSettings,
  ): Promise<Session>;
  /** Release maps and pools. Sessions must be released before. */
  close(): void;
}

export interface SessionSettings {
  /** False keeps ONNX Runtime from fusing nodes: some of its fusions have no float64 kernel. Default true. */
  readonly fuse?: boolean;
}

/** All our graphs have static shapes, so outputs are allocated in JavaScript before the run (Electron forbids external memory). */
export interface OutputSpec {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

export interface Session {
  /**
   * Runs the graph off the JavaScript thread. Only the outputs named are computed.
   * @param inputs every graph input by name.
   * @param outputs names to compute (a new array is allocated), or name → tensor to fill in place.
   * @throws Cancelled when the signal fires, within milliseconds, also in mid-run.
   */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: readonly string[] | Readonly<Record<string, HostTensor>>,
    signal?: AbortSignal,
  ): Promise<Record<string, HostTensor>>;
  release(): void;
}
