import type { DType, HostTensor, Tensor } from '../../protocol/tensor.ts';

/** The custom operators of domain `spinquant` are native kernels or composed of standard operators. */
export type KernelSource = 'native' | 'composed';

export type DeviceKind = 'cpu' | 'webgpu' | 'cuda';

/** The device that graphs run on. */
export interface RuntimeDevice {
  readonly kind: DeviceKind;
  /** ONNX Runtime's name for it. */
  readonly executionProvider: 'CPUExecutionProvider' | 'WebGpuExecutionProvider' | 'CUDAExecutionProvider';
  /** The name of the GPU or its software substitute, as far as it can be read; null on the processor. */
  readonly adapter: string | null;
  /** The reason why `auto` took this device, for people; null where it was named. */
  readonly reason: string | null;
}

/** An ONNX Runtime with or without our native operators. One per process. */
export interface Runtime {
  /** The text for people and provenance: `onnxruntime 1.30.0, native kernels avx512, 2 threads`. */
  readonly description: string;
  readonly device: RuntimeDevice;
  readonly ortVersion: string;
  /** With `native`, graphs may hold `spinquant` nodes. With `composed`, lower them first (graph/lower/). */
  readonly kernels: KernelSource;
  readonly threads: number;
  /** True where products with bfloat16 weights have their own kernel, faster than float32. */
  readonly multipliesBfloat16: boolean;
  /** True where products of numbers rounded to bfloat16 have one, faster than float32. */
  readonly multipliesRounded: boolean;
  /** True where our products of bytes are faster than ONNX Runtime's products of float32. */
  readonly multipliesBytes: boolean;
  /** True where our sums of float32 products are as fast as those of ONNX Runtime. */
  readonly multipliesFloats: boolean;
  /** Returns the type that a graph must declare for an input stored as `dtype`: not every binding takes bfloat16. */
  inputType(dtype: DType): DType;
  createSession(
    model: Uint8Array,
    outputs: Readonly<Record<string, OutputSpec>>,
    settings?: SessionSettings,
  ): Promise<Session>;
  /** Releases maps and pools. Sessions must be released before. */
  close(): void;
}

export interface SessionSettings {
  /** False keeps ONNX Runtime from fusing nodes: some of its fusions have no float64 kernel. Default true. */
  readonly fuse?: boolean;
  /** True keeps the graph on the processor whatever the device: float64 has no kernels elsewhere. Default false. */
  readonly onProcessor?: boolean;
  /**
   * True gives it threads of its own, which wait for the next node in a spin for 50 µs: for many short nodes one after the
   * other. The native runtime alone does. Default false.
   */
  readonly spins?: boolean;
  /** Folder of the tensors that the model keeps in files. The native runtime alone looks there. */
  readonly dataFolder?: string;
}

/** All shapes are static, so JavaScript allocates outputs before the run (Electron forbids external memory). */
export interface OutputSpec {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

export interface Session {
  /**
   * Runs the graph; the native runtime does so off the JavaScript thread. Only the named outputs are computed.
   * @param inputs every graph input by name.
   * @param outputs names to compute (a new array is allocated), or name → tensor to fill in place.
   * @throws Cancelled when the signal fires: within milliseconds in the native runtime, else after the run.
   */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: readonly string[] | Readonly<Record<string, HostTensor>>,
    signal?: AbortSignal,
  ): Promise<Record<string, HostTensor>>;
  /**
   * Binds tensors once, for many runs on the same memory. A file is read as it is now, also where it is replaced later.
   * @param outputs as for {@link run}.
   */
  bind(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: readonly string[] | Readonly<Record<string, HostTensor>>,
  ): BoundRun;
  release(): void;
}

/** A session with all that it reads and fills. Runs must not overlap. */
export interface BoundRun {
  /** Filled by every run. */
  readonly outputs: Readonly<Record<string, HostTensor>>;
  /** Reads what the tensors hold now. @throws Cancelled as {@link Session.run} does. */
  run(signal?: AbortSignal): Promise<void>;
  release(): void;
}
