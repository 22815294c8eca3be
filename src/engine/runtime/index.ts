import { availableParallelism } from 'node:os';
import { UserError } from '../../protocol/errors.ts';
import { loadAddon } from './addon.ts';
import { openNativeRuntime } from './native.ts';
import { openPortableRuntime } from './portable.ts';
import type { Runtime } from './types.ts';

export type { KernelSource, OutputSpec, Runtime, Session } from './types.ts';

export interface RuntimeOptions {
  /** Threads that share one operator; all processors by default. */
  readonly threads?: number;
  /** `auto` takes the native operators if they are built. */
  readonly kernels?: 'auto' | 'native' | 'composed';
  /** Instruction set of the native kernels: `portable`, `avx2` or `avx512`; the best one by default. */
  readonly instructionSet?: string;
}

/**
 * Opens ONNX Runtime. The native one should be opened before anything else in the process loads onnxruntime-node,
 * so that its sessions can share one thread pool.
 * @throws UserError `runtime/not-built` when native operators are asked for but not there.
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const { threads = availableParallelism(), kernels = 'auto' } = options;
  if (!Number.isInteger(threads) || threads < 1) {
    throw new UserError('runtime/threads', `Threads must be a whole number from 1, found ${threads}.`);
  }
  if (kernels === 'composed') return openPortableRuntime(threads);
  const addon = loadAddon();
  if (addon !== undefined) return openNativeRuntime(addon, threads, options.instructionSet);
  if (kernels === 'auto') return openPortableRuntime(threads);
  throw new UserError(
    'runtime/not-built',
    'The native operators are not built.',
    'Run `npm run build:native`; it needs a C++ compiler.',
  );
}
