/** This runtime has our own operators. Sessions run off the JavaScript thread, and weights stay in mapped files. */

import { cancelledBy, messageOf, throwIfCancelled, UserError } from '../../protocol/errors.ts';
import type { DType, FileTensor, HostTensor, Tensor, TensorData } from '../../protocol/tensor.ts';
import { formatCount } from '../../protocol/text.ts';
import {
  type Addon,
  type EnvironmentHandle,
  type MapHandle,
  ortLibraryPath,
  type SessionHandle,
  type TokenHandle,
} from './addon.ts';
import { BoundSession, inputsInOrder } from './bindings.ts';
import { ONNX_ELEMENT_TYPE } from './element-types.ts';
import { FileBuffers, fileIdentity, isAligned } from './file-buffers.ts';
import type { BoundRun, OutputSpec, Runtime, RuntimeDevice, Session, SessionSettings } from './types.ts';

/** Misaligned tensors are copied. They are rare, since writers of safetensors align their data. */
const MISALIGNED_CACHE_BYTES = 256 * 2 ** 20;

/** @throws UserError `runtime/library` when ONNX Runtime's library cannot be found or loaded. */
export function openNativeRuntime(
  addon: Addon,
  threads: number,
  device: RuntimeDevice,
  isa: string,
): Runtime {
  const library = ortLibraryPath();
  if (library === undefined) {
    throw new UserError(
      'runtime/library',
      `The package onnxruntime-node has no library for ${process.platform} ${process.arch}.`,
      'Run `npm install` again.',
    );
  }
  try {
    return new NativeRuntime(addon, addon.open(library, threads, isa), threads, isa, device);
  } catch (error) {
    throw new UserError('runtime/library', messageOf(error), 'Run `npm install` again.');
  }
}

class NativeRuntime implements Runtime {
  readonly kernels = 'native';
  readonly description: string;
  readonly device: RuntimeDevice;
  readonly ortVersion: string;
  readonly threads: number;
  readonly multipliesBfloat16: boolean;
  readonly multipliesRounded: boolean;
  readonly multipliesBytes: boolean;
  readonly multipliesFloats: boolean;
  readonly #addon: Addon;
  readonly #environment: EnvironmentHandle;
  readonly #files: MappedFiles;

  constructor(
    addon: Addon,
    environment: EnvironmentHandle,
    threads: number,
    isa: string,
    device: RuntimeDevice,
  ) {
    this.#addon = addon;
    this.device = device;
    this.#environment = environment;
    this.#files = new MappedFiles(addon);
    this.threads = threads;
    this.multipliesBfloat16 = isa === 'amx';
    this.multipliesRounded = isa === 'amx' || isa === 'avx512_bf16';
    // The portable body multiplies bytes one vector of 16 at a time.
    this.multipliesBytes = isa !== 'portable' && isa !== 'reference';
    // The portable body has vectors of four numbers.
    this.multipliesFloats = isa === 'amx' || isa.startsWith('avx');
    this.ortVersion = addon.ortVersion(environment);
    this.description = `onnxruntime ${this.ortVersion}, native kernels ${isa}, ${formatCount(threads, 'thread')}`;
  }

  inputType(dtype: DType): DType {
    return dtype;
  }

  async createSession(
    model: Uint8Array,
    outputs: Readonly<Record<string, OutputSpec>>,
    { fuse = true, spins = false, dataFolder = '' }: SessionSettings = {},
  ): Promise<Session> {
    const handle = await this.#addon.createSession(
      this.#environment,
      model,
      fuse ? 1 : 0,
      spins ? 1 : 0,
      dataFolder,
    );
    return new NativeSession(this.#addon, handle, outputs, this.#files);
  }

  close(): void {
    this.#files.close();
    this.#addon.close(this.#environment);
  }
}

/** A tensor's memory in the addon's form. */
interface Binding {
  readonly source: TensorData | MapHandle;
  /** The data starts at this byte of a mapped file; 0 for an array. */
  readonly offset: number;
}

/** Maps each file once, until it is replaced or the runtime is closed. */
class MappedFiles {
  readonly #addon: Addon;
  readonly #maps = new Map<string, { identity: string; map: MapHandle; size: number }>();
  readonly #copies = new FileBuffers(MISALIGNED_CACHE_BYTES);

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  bind(tensor: FileTensor, checked: Set<string>): Binding {
    if (!isAligned(tensor)) return { source: this.#copies.read(tensor), offset: 0 };
    const { map, size } = this.#mapped(tensor.path, checked);
    if (tensor.byteOffset + tensor.byteLength > size) {
      throw new UserError(
        'runtime/file',
        `A tensor ends at byte ${tensor.byteOffset + tensor.byteLength} of ${tensor.path}, which has ${size} bytes.`,
        'The file is cut short: copy or download it again.',
      );
    }
    return { source: map, offset: tensor.byteOffset };
  }

  /** @param checked files already checked in this run: one check of each is enough. */
  #mapped(path: string, checked: Set<string>): { map: MapHandle; size: number } {
    const known = this.#maps.get(path);
    if (known !== undefined && checked.has(path)) return known;
    const identity = fileIdentity(path);
    checked.add(path);
    if (known?.identity === identity) return known;
    if (known !== undefined) this.#addon.unmapFile(known.map);
    const map = this.#map(path);
    const entry = { identity, map, size: this.#addon.mapSize(map) };
    this.#maps.set(path, entry);
    return entry;
  }

  #map(path: string): MapHandle {
    try {
      return this.#addon.mapFile(path);
    } catch (error) {
      throw new UserError('runtime/file', messageOf(error));
    }
  }

  close(): void {
    for (const { map } of this.#maps.values()) this.#addon.unmapFile(map);
    this.#maps.clear();
    this.#copies.clear();
  }
}

class NativeSession extends BoundSession {
  readonly #addon: Addon;
  readonly #handle: SessionHandle;
  readonly #files: MappedFiles;
  readonly #inputs: readonly string[];
  readonly #outputIndex: ReadonlyMap<string, number>;

  constructor(
    addon: Addon,
    handle: SessionHandle,
    specs: Readonly<Record<string, OutputSpec>>,
    files: MappedFiles,
  ) {
    super(specs);
    this.#addon = addon;
    this.#handle = handle;
    this.#files = files;
    this.#inputs = addon.sessionInputs(handle);
    this.#outputIndex = new Map(addon.sessionOutputs(handle).map((name, index) => [name, index]));
  }

  protected async compute(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, HostTensor>>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { tensors, layout } = this.#bind(inputsInOrder(this.#inputs, inputs), outputs);
    await this.#start((token) => this.#addon.run(this.#handle, tensors, layout, token), signal);
  }

  protected override bound(
    inputs: Readonly<Record<string, Tensor>>,
    outputs: Readonly<Record<string, HostTensor>>,
  ): BoundRun {
    const { tensors, layout } = this.#bind(inputsInOrder(this.#inputs, inputs), outputs);
    const binding = this.#addon.bind(this.#handle, tensors, layout);
    const run = async (signal?: AbortSignal): Promise<void> => {
      throwIfCancelled(signal);
      await this.#start((token) => this.#addon.runBinding(binding, token), signal);
    };
    return { outputs, run, release: () => this.#addon.releaseBinding(binding) };
  }

  release(): void {
    this.#addon.releaseSession(this.#handle);
  }

  /** Returns arrays and numbers in the order that addon/session.h describes. */
  #bind(
    inputs: readonly Tensor[],
    outputs: Readonly<Record<string, HostTensor>>,
  ): { tensors: (TensorData | MapHandle)[]; layout: Float64Array } {
    const names = Object.keys(outputs);
    const tensors: (TensorData | MapHandle)[] = [];
    const layout: number[] = [inputs.length, names.length];
    const checked = new Set<string>();
    for (const tensor of inputs) {
      const binding =
        tensor.kind === 'file' ? this.#files.bind(tensor, checked) : { source: tensor.data, offset: 0 };
      const byteLength = tensor.kind === 'file' ? tensor.byteLength : tensor.data.byteLength;
      tensors.push(binding.source);
      layout.push(ONNX_ELEMENT_TYPE[tensor.dtype], binding.offset, byteLength, tensor.dims.length);
      layout.push(...tensor.dims);
    }
    for (const name of names) {
      const { dtype, dims, data } = outputs[name]!;
      const index = this.#outputIndex.get(name);
      if (index === undefined) throw new UserError('runtime/outputs', `The graph has no output ${name}.`);
      tensors.push(data);
      layout.push(index, ONNX_ELEMENT_TYPE[dtype], 0, data.byteLength, dims.length, ...dims);
    }
    return { tensors, layout: Float64Array.from(layout) };
  }

  async #start(
    run: (token: TokenHandle | null) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (signal === undefined) return run(null);
    const token = this.#addon.createToken();
    const stop = () => this.#addon.terminate(token);
    signal.addEventListener('abort', stop, { once: true });
    try {
      await run(token);
    } catch (error) {
      throw signal.aborted ? cancelledBy(signal) : error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}
