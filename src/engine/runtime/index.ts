import { availableParallelism } from 'node:os';
import { UserError } from '../../protocol/errors.ts';
import { loadAddon } from './addon.ts';
import { processor, reasonForAuto } from './device.ts';
import { openNativeRuntime } from './native.ts';
import { openGpuRuntime, openPortableRuntime } from './portable.ts';
import type { DeviceKind, Runtime } from './types.ts';

export { besides as otherDevices } from './device.ts';
export type { DeviceKind, KernelSource, OutputSpec, Runtime, RuntimeDevice, Session } from './types.ts';

export interface RuntimeOptions {
  /** This many threads share one operator; all processors by default. */
  readonly threads?: number;
  /** `auto` takes the native operators if they are built and the device is the processor; they run nowhere else. */
  readonly kernels?: 'auto' | 'native' | 'composed';
  /**
   * The native kernels' instruction set: `portable`, `avx2`, `avx512` or `amx` (avx512, with tiles for products). The
   * best one is the default.
   */
  readonly instructionSet?: string;
  /** The processor is the default. `auto` takes it too and gives the reason. */
  readonly device?: DeviceKind | 'auto';
  /** True refuses graphs with a node that would run on the processor although the device is a GPU. */
  readonly strict?: boolean;
}

/**
 * Opens ONNX Runtime. The native one should be opened before anything else in the process loads onnxruntime-node,
 * so that its sessions can share one thread pool.
 * @throws UserError `runtime/not-built` when native operators are requested but not built, `runtime/kernels` when they
 * are requested on a GPU, `device/unavailable` when the requested device is not there.
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { threads = availableParallelism(), kernels = 'auto', device = 'cpu', strict = false } = options;
  if (!Number.isInteger(threads) || threads < 1) {
    throw new UserError('runtime/threads', `Threads must be a whole number from 1, found ${threads}.`);
  }
  if (device === 'cpu' || device === 'auto') return openProcessor(options, threads, device === 'auto');
  if (kernels !== 'native') return openGpuRuntime(threads, device, strict);
  throw new UserError(
    'runtime/kernels',
    `The native operators run on the processor only, and the device is "${device}".`,
    'Leave the choice of kernels to "auto", or set device to "cpu".',
  );
}

async function openProcessor(options: RuntimeOptions, threads: number, isAuto: boolean): Promise<Runtime> {
  const { kernels = 'auto' } = options;
  const addon = kernels === 'composed' ? undefined : loadAddon();
  if (addon === undefined && kernels === 'native')
    throw new UserError(
      'runtime/not-built',
      'The native operators are not built.',
      'Run `npm run build:native`; it needs a C++ compiler.',
    );
  const isa = options.instructionSet ?? addon?.instructionSets().at(-1) ?? 'portable';
  const words = addon === undefined ? 'composed kernels' : `native kernels ${isa}`;
  const device = processor(isAuto ? reasonForAuto(words) : null);
  if (addon === undefined) return openPortableRuntime(threads, device);
  return openNativeRuntime(addon, threads, device, isa);
}
