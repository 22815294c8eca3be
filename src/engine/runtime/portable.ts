/**
 * This runtime uses onnxruntime-node alone: standard operators, files read into memory, runs that block. Only this one
 * reaches GPUs. There, every input of a run, weights too, is copied to the device for that run, and outputs back.
 */

import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { bfloat16ToFloat32 } from '../../formats/float-bits.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import type { DType, HostTensor, Tensor, TensorData } from '../../protocol/tensor.ts';
import { formatCount } from '../../protocol/text.ts';
import { BoundSession, inputsInOrder } from './bindings.ts';
import { DEVICE_WORDS, deviceFailure, type GpuKind, openedDevice, requireDevice } from './device.ts';
import { ORT_JS_TYPE } from './element-types.ts';
import { FileBuffers } from './file-buffers.ts';
import type { DeviceKind, OutputSpec, Runtime, RuntimeDevice, Session, SessionSettings } from './types.ts';

type OrtModule = typeof import('onnxruntime-node');

const FILE_CACHE_BYTES = 1024 * 2 ** 20;

/** An ONNX ModelProto of opset 18 with y = −x for float32 [1]; running it shows if a device works. */
const PROBE = Buffer.from(
  'CAkSDXNwaW5xdWFudC1sYWI6OAoNCgF4EgF5IgNOZWc6ABIFZ3JhcGhaDwoBeBIKCggIARIECgIIAWIPCgF5EgoKCAgBEgQKAggBQgQKABASQg0KCXNwaW5xdWFudBAB',
  'base64',
);

/** Loads onnxruntime-node only on demand: the native addon does not need it. */
export async function openPortableRuntime(threads: number, device: RuntimeDevice): Promise<Runtime> {
  return new PortableRuntime(await import('onnxruntime-node'), threads, device);
}

/**
 * Opens the runtime on a GPU.
 * @param strict true refuses graphs with a node that has no kernel there and would run on the processor.
 * @throws UserError `device/unavailable` with what is missing.
 */
export async function openGpuRuntime(threads: number, kind: GpuKind, strict: boolean): Promise<Runtime> {
  await expectGpu(kind, threads, strict);
  return new PortableRuntime(await import('onnxruntime-node'), threads, openedDevice(kind), strict);
}

/** Sees whether a GPU can be used. @throws UserError `device/unavailable` with what is missing. */
export async function expectGpu(kind: GpuKind, threads: number, strict = false): Promise<void> {
  requireDevice(kind);
  const ort = await import('onnxruntime-node');
  try {
    const session = await ort.InferenceSession.create(PROBE, sessionOptions(kind, threads, strict));
    await session.release();
  } catch (error) {
    throw deviceFailure(kind, error);
  }
}

class PortableRuntime implements Runtime {
  readonly kernels = 'composed';
  readonly multipliesBfloat16 = false;
  readonly multipliesRounded = false;
  readonly multipliesBytes = false;
  readonly multipliesFloats = false;
  readonly description: string;
  readonly device: RuntimeDevice;
  readonly ortVersion: string;
  readonly threads: number;
  readonly #ort: OrtModule;
  readonly #strict: boolean;
  readonly #files = new FileBuffers(FILE_CACHE_BYTES);

  constructor(ort: OrtModule, threads: number, device: RuntimeDevice, strict = false) {
    this.#ort = ort;
    this.#strict = strict;
    this.threads = threads;
    this.device = device;
    this.ortVersion = ort.env.versions.node ?? ort.env.versions.common;
    const where =
      device.kind === 'cpu' ? '' : `${DEVICE_WORDS[device.kind]} on ${device.adapter ?? 'a GPU'}, `;
    this.description = `onnxruntime ${this.ortVersion}, ${where}composed kernels, ${formatCount(threads, 'thread')}`;
  }

  /**
   * onnxruntime-node does not take bfloat16: such tensors are widened when they are bound. WebGPU does not compare
   * int64: token ids become int32.
   */
  inputType(dtype: DType): DType {
    if (dtype === 'int64' && this.device.kind === 'webgpu') return 'int32';
    return dtype === 'bfloat16' ? 'float32' : dtype;
  }

  async createSession(
    model: Uint8Array,
    outputs: Readonly<Record<string, OutputSpec>>,
    { fuse = true, onProcessor = false }: SessionSettings = {},
  ): Promise<Session> {
    const kind = onProcessor ? 'cpu' : this.device.kind;
    const session = await this.#ort.InferenceSession.create(model, {
      ...sessionOptions(kind, this.threads, this.#strict),
      graphOptimizationLevel: fuse ? 'all' : 'basic',
    });
    return new PortableSession(this.#ort, session, outputs, this.#files);
  }

  close(): void {
    this.#files.clear();
  }
}

export function sessionOptions(
  provider: DeviceKind,
  threads: number,
  strict: boolean,
): InferenceSession.SessionOptions {
  const noFallback = strict && provider !== 'cpu';
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Errors are thrown; ONNX Runtime need not print them as well.
    logSeverityLevel: 4,
    extra: {
      session: {
        intra_op: { allow_spinning: '0' },
        ...(noFallback && { disable_cpu_ep_fallback: '1' }),
      },
    },
  };
}

class PortableSession extends BoundSession {
  readonly #ort: OrtModule;
  readonly #session: InferenceSession;
  readonly #files: FileBuffers;

  constructor(
    ort: OrtModule,
    session: InferenceSession,
    specs: Readonly<Record<string, OutputSpec>>,
    files: FileBuffers,
  ) {
    super(specs);
    this.#ort = ort;
    this.#session = session;
    this.#files = files;
  }

  /** The signal is checked before and after: a run cannot be stopped midway. */
  protected async compute(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, HostTensor>>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const names = this.#session.inputNames;
    const feeds: Record<string, OrtTensor> = {};
    inputsInOrder(names, inputs).forEach((tensor, i) => {
      const declared = this.#session.inputMetadata[i];
      const isNarrow = tensor.dtype === 'int64' && declared?.isTensor === true && declared.type === 'int32';
      feeds[names[i]!] = this.#toOrt(isNarrow ? narrowed(this.#read(tensor), tensor.dims) : tensor);
    });
    const fetches: Record<string, OrtTensor> = {};
    for (const [name, tensor] of Object.entries(outputs)) fetches[name] = this.#toOrt(tensor);
    await this.#session.run(feeds, fetches);
    throwIfCancelled(signal);
  }

  release(): void {
    void this.#session.release();
  }

  #toOrt(tensor: Tensor): OrtTensor {
    return makeTensor(this.#ort, tensor.dtype, this.#read(tensor), tensor.dims);
  }

  #read(tensor: Tensor): TensorData {
    return tensor.kind === 'file' ? this.#files.read(tensor) : tensor.data;
  }
}

/** Converts token ids, which are small, to int32. */
function narrowed(data: TensorData, dims: readonly number[]): HostTensor {
  return { kind: 'host', dtype: 'int32', dims, data: Int32Array.from(data as BigInt64Array, Number) };
}

/** Keeps widened copies of bfloat16 arrays for as long as the arrays live. */
const widened = new WeakMap<Uint16Array, Float32Array>();

export function makeTensor(
  ort: OrtModule,
  dtype: DType,
  data: TensorData,
  dims: readonly number[],
): OrtTensor {
  if (dtype !== 'bfloat16') return new ort.Tensor(ORT_JS_TYPE[dtype], data, dims);
  const bits = data as Uint16Array;
  const wide = widened.get(bits) ?? bfloat16ToFloat32(bits);
  widened.set(bits, wide);
  return new ort.Tensor('float32', wide, dims);
}
