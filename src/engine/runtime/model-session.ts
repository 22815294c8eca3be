/** Whole ONNX models in files, in onnxruntime-node as it comes: their weights are loaded once, to where they compute. */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { messageOf, throwIfCancelled, UserError } from '../../protocol/errors.ts';
import type { HostTensor } from '../../protocol/tensor.ts';
import { DEVICE_WORDS, openedDevice, processor } from './device.ts';
import { expectGpu, makeTensor, sessionOptions } from './portable.ts';
import type { DeviceKind, RuntimeDevice } from './types.ts';

/** An output that stays where it was computed, as an input of later runs. */
export interface KeptValue {
  /** Frees its memory on the device; it is no input any more. */
  dispose(): void;
}

export interface ModelSessionOptions {
  readonly device: DeviceKind;
  /** Threads of what runs on the processor. */
  readonly threads: number;
  /** Outputs that are only inputs of later runs. They stay on the device where ONNX Runtime allows it. */
  readonly kept: readonly string[];
}

export interface ModelResult {
  /** float32 outputs that are not kept. */
  readonly computed: Readonly<Record<string, Float32Array>>;
  readonly kept: Readonly<Record<string, KeptValue>>;
}

class KeptTensor implements KeptValue {
  readonly tensor: OrtTensor;

  constructor(tensor: OrtTensor) {
    this.tensor = tensor;
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

type OrtModule = typeof import('onnxruntime-node');

/** A model in memory, or in that of a GPU. */
export class ModelSession {
  readonly device: RuntimeDevice;
  readonly inputNames: readonly string[];
  readonly #ort: OrtModule;
  readonly #session: InferenceSession;
  readonly #kept: ReadonlySet<string>;

  private constructor(
    ort: OrtModule,
    session: InferenceSession,
    { device, kept }: Pick<ModelSessionOptions, 'device' | 'kept'>,
  ) {
    this.#ort = ort;
    this.#session = session;
    this.#kept = new Set(kept);
    this.device = device === 'cpu' ? processor(null) : openedDevice(device);
    this.inputNames = session.inputNames;
  }

  /**
   * @param model its path, beside which its external data lie, or the model itself.
   * @throws UserError `device/unavailable`, `device/model`.
   */
  static async open(model: string | Uint8Array, options: ModelSessionOptions): Promise<ModelSession> {
    const { device, threads, kept } = options;
    if (device !== 'cpu') await expectGpu(device, threads);
    const ort = await import('onnxruntime-node');
    const settings = {
      ...sessionOptions(device, threads, false),
      graphOptimizationLevel: 'all',
      ...(device === 'webgpu' && { preferredOutputLocation: placesOf(kept) }),
    } as const;
    const { InferenceSession: Model } = ort;
    const session = await onDevice(device, 'open the model', () =>
      typeof model === 'string' ? Model.create(model, settings) : Model.create(model, settings),
    );
    return new ModelSession(ort, session, options);
  }

  /**
   * Runs the model once.
   * @param inputs every input by its name.
   * @param signal is looked at before and after: a run cannot be stopped midway.
   * @throws Cancelled, UserError `device/model`.
   */
  async run(
    inputs: Readonly<Record<string, HostTensor | KeptValue>>,
    signal?: AbortSignal,
  ): Promise<ModelResult> {
    throwIfCancelled(signal);
    const feeds: Record<string, OrtTensor> = {};
    for (const [name, input] of Object.entries(inputs)) feeds[name] = this.#toOrt(name, input);
    const { kind } = this.device;
    const results = await onDevice(kind, 'run the model', () => this.#session.run(feeds));
    const computed: Record<string, Float32Array> = {};
    const kept: Record<string, KeptValue> = {};
    for (const [name, tensor] of Object.entries(results)) {
      if (this.#kept.has(name)) kept[name] = new KeptTensor(tensor);
      else computed[name] = numbersOf(name, tensor);
    }
    if (signal?.aborted) for (const value of Object.values(kept)) value.dispose();
    throwIfCancelled(signal);
    return { computed, kept };
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  #toOrt(name: string, input: HostTensor | KeptValue): OrtTensor {
    if (input instanceof KeptTensor) return input.tensor;
    if ('data' in input) return makeTensor(this.#ort, input.dtype, input.data, input.dims);
    throw new Error(`${name} was kept by another session`);
  }
}

/** Only WebGPU's buffers can be handed from run to run; those of CUDA come back to the processor. */
function placesOf(kept: readonly string[]): Record<string, 'gpu-buffer'> {
  return Object.fromEntries(kept.map((name) => [name, 'gpu-buffer'] as const));
}

function numbersOf(name: string, { data }: OrtTensor): Float32Array {
  if (data instanceof Float32Array) return data;
  throw new Error(`the output ${name} is not float32`);
}

/** A GPU may lack memory, or what a kernel needs. The processor has both, so that its faults are no advice to people. */
async function onDevice<T>(device: DeviceKind, what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (device === 'cpu') throw error;
    throw new UserError(
      'device/model',
      `ONNX Runtime cannot ${what} on ${DEVICE_WORDS[device]}: ${messageOf(error).trim()}`,
      'If its memory is full, close what else uses it. Or compute on the processor (device "cpu").',
    );
  }
}
