import type { DType, HostTensor, Tensor } from '../../protocol/tensor.ts';

/** Where the custom operators of domain `spinquant` come from. */
export type KernelSource = 'native' | 'composed';

export type DeviceKind = 'cpu' | 'webgpu' | 'cuda';

/** What the graphs run on. */
export interface RuntimeDevice {
  readonly kind: DeviceKind;
  /** ONNX Runtime's name of what runs them. */
  readonly executionProvider: 'CPUExecutionProvider' | 'WebGpuExecutionProvider' | 'CUDAExecutionProvider';
  /** The GPU, or what stands in for one, as far as it can be read; null on the processor. */
  readonly adapter: string | null;
  /** Why `auto` came here, for people; null where the device was asked for by name. */
  readonly reason: string | null;
}

/** An ONNX Runtime with or without our native operators. One per process. */
export interface Runtime {
  /** For people and provenance: `onnxruntime 1.30.0, native kernels avx512, 2 threads`. */
  readonly description: string;
  readonly device: RuntimeDevice;
  readonly ortVersion: string;
  /** `native`: graphs may hold `spinquant` nodes. `composed`: lower them first (graph/lower). */
  readonly kernels: KernelSource;
  readonly threads: number;
  /** Whether products with bfloat16 weights have a kernel of their own, faster than those in float32. */
  readonly multipliesBfloat16: boolean;
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
  /** True keeps the graph on the processor whatever the device: float64 has no kernels elsewhere. Default false. */
  readonly onProcessor?: boolean;
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
