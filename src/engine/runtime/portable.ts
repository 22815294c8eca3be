/** The runtime through onnxruntime-node alone: standard operators, files read into memory, runs that block. */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { bfloat16ToFloat32 } from '../../formats/float-bits.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import type { DType, HostTensor, Tensor, TensorData } from '../../protocol/tensor.ts';
import { inputsInOrder, outputTensors } from './bindings.ts';
import { ORT_JS_TYPE } from './element-types.ts';
import { FileBuffers } from './file-buffers.ts';
import type { OutputSpec, Runtime, Session, SessionSettings } from './types.ts';

type OrtModule = typeof import('onnxruntime-node');

const FILE_CACHE_BYTES = 1024 * 2 ** 20;

/** Loads onnxruntime-node only when it is wanted: beside the native addon it is not needed. */
export async function openPortableRuntime(threads: number): Promise<Runtime> {
  return new PortableRuntime(await import('onnxruntime-node'), threads);
}

class PortableRuntime implements Runtime {
  readonly kernels = 'composed';
  readonly description: string;
  readonly ortVersion: string;
  readonly threads: number;
  readonly #ort: OrtModule;
  readonly #files = new FileBuffers(FILE_CACHE_BYTES);

  constructor(ort: OrtModule, threads: number) {
    this.#ort = ort;
    this.threads = threads;
    this.ortVersion = ort.env.versions.node ?? ort.env.versions.common;
    this.description = `onnxruntime ${this.ortVersion}, composed kernels, ${threads} thread${threads === 1 ? '' : 's'}`;
  }

  /** onnxruntime-node takes no bfloat16: such tensors are widened when they are bound. */
  inputType(dtype: DType): DType {
    return dtype === 'bfloat16' ? 'float32' : dtype;
  }

  async createSession(
    model: Uint8Array,
    outputs: Readonly<Record<string, OutputSpec>>,
    { fuse = true }: SessionSettings = {},
  ): Promise<Session> {
    const session = await this.#ort.InferenceSession.create(model, {
      executionProviders: ['cpu'],
      graphOptimizationLevel: fuse ? 'all' : 'basic',
      intraOpNumThreads: this.threads,
      interOpNumThreads: 1,
      // What goes wrong is thrown; ONNX Runtime need not print it as well.
      logSeverityLevel: 4,
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    });
    return new PortableSession(this.#ort, session, outputs, this.#files);
  }

  close(): void {
    this.#files.clear();
  }
}

class PortableSession implements Session {
  readonly #ort: OrtModule;
  readonly #session: InferenceSession;
  readonly #specs: Readonly<Record<string, OutputSpec>>;
  readonly #files: FileBuffers;

  constructor(
    ort: OrtModule,
    session: InferenceSession,
    specs: Readonly<Record<string, OutputSpec>>,
    files: FileBuffers,
  ) {
    this.#ort = ort;
    this.#session = session;
    this.#specs = specs;
    this.#files = files;
  }

  /** The signal is looked at before and after: a run cannot be stopped on its way. */
  async run(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: readonly string[] | Readonly<Record<string, HostTensor>>,
    signal?: AbortSignal,
  ): Promise<Record<string, HostTensor>> {
    throwIfCancelled(signal);
    const filled = outputTensors(this.#specs, outputs);
    const names = this.#session.inputNames;
    const feeds: Record<string, OrtTensor> = {};
    inputsInOrder(names, inputs).forEach((tensor, i) => {
      feeds[names[i]!] = this.#toOrt(tensor);
    });
    const fetches: Record<string, OrtTensor> = {};
    for (const [name, tensor] of Object.entries(filled)) fetches[name] = this.#toOrt(tensor);
    await this.#session.run(feeds, fetches);
    throwIfCancelled(signal);
    return filled;
  }

  release(): void {
    void this.#session.release();
  }

  #toOrt(tensor: Tensor): OrtTensor {
    const data = tensor.kind === 'file' ? this.#files.read(tensor) : tensor.data;
    return makeTensor(this.#ort, tensor.dtype, data, tensor.dims);
  }
}

/** Widened copies of bfloat16 arrays, for as long as the arrays live. */
const widened = new WeakMap<Uint16Array, Float32Array>();

function makeTensor(ort: OrtModule, dtype: DType, data: TensorData, dims: readonly number[]): OrtTensor {
  if (dtype !== 'bfloat16') return new ort.Tensor(ORT_JS_TYPE[dtype], data, dims);
  const bits = data as Uint16Array;
  const wide = widened.get(bits) ?? bfloat16ToFloat32(bits);
  widened.set(bits, wide);
  return new ort.Tensor('float32', wide, dims);
}
