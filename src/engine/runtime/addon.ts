/** Finds and loads the native addon and the ONNX Runtime library it drives. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf, UserError } from '../../protocol/errors.ts';
import type { TensorData } from '../../protocol/tensor.ts';

// The addon owns these objects. They free what they hold when collected, or earlier when released.
declare const brand: unique symbol;
interface Handle<Name extends string> {
  readonly [brand]: Name;
}
export type EnvironmentHandle = Handle<'environment'>;
export type SessionHandle = Handle<'session'>;
export type MapHandle = Handle<'map'>;
export type TokenHandle = Handle<'token'>;
export type BindingHandle = Handle<'binding'>;

export interface ProbeTensor {
  /** A Uint16Array holds the bits of bfloat16 numbers, or of halves. */
  readonly data: Float32Array | BigInt64Array | Uint16Array | Int8Array;
  readonly dims: readonly number[];
}

/** The exports of native-kernels/addon/module.cc. */
export interface Addon {
  /** Lists those usable on this processor, slowest first: `portable`, `avx2`, `avx_vnni`, `avx512`, `avx512_vnni`, `amx`; `neon_dot`. */
  instructionSets(): string[];
  open(libraryPath: string, threads: number, instructionSet: string): EnvironmentHandle;
  ortVersion(environment: EnvironmentHandle): string;
  close(environment: EnvironmentHandle): void;
  /**
   * @param fuse 1, or 0 to keep ONNX Runtime from fusing nodes.
   * @param spins 1 gives it threads that wait for the next node in a spin.
   * @param dataFolder of the tensors that the model keeps in files; empty for none.
   */
  createSession(
    environment: EnvironmentHandle,
    model: Uint8Array,
    fuse: 0 | 1,
    spins: 0 | 1,
    dataFolder: string,
  ): Promise<SessionHandle>;
  sessionInputs(session: SessionHandle): string[];
  sessionOutputs(session: SessionHandle): string[];
  /** Pending runs finish first. */
  releaseSession(session: SessionHandle): void;
  mapFile(path: string): MapHandle;
  mapSize(map: MapHandle): number;
  unmapFile(map: MapHandle): void;
  /** Asks the system for large pages in memory that nothing was written to yet; it may have none. */
  useLargePages(view: Uint8Array): void;
  createToken(): TokenHandle;
  /** Stops the runs that carry the token. */
  terminate(token: TokenHandle): void;
  /** addon/session.h describes the layout. */
  run(
    session: SessionHandle,
    tensors: readonly (TensorData | MapHandle)[],
    layout: Float64Array,
    token: TokenHandle | null,
  ): Promise<void>;
  /** For runs on the same memory, which the handle keeps. */
  bind(
    session: SessionHandle,
    tensors: readonly (TensorData | MapHandle)[],
    layout: Float64Array,
  ): BindingHandle;
  /** Runs of one binding must not overlap. */
  runBinding(binding: BindingHandle, token: TokenHandle | null): Promise<void>;
  releaseBinding(binding: BindingHandle): void;
  /**
   * Runs one operator without a session, for tests and benchmarks.
   * @param instructionSet one of {@link instructionSets}, or `reference` for the loops in double precision.
   * @returns seconds of each repeat.
   */
  runOperator(
    name: string,
    instructionSet: string,
    attributes: Readonly<Record<string, number>>,
    inputs: readonly (ProbeTensor | null)[],
    outputs: readonly (Float32Array | Uint16Array | Int8Array)[],
    threads: number,
    repeats: number,
  ): number[];
  /** Returns the seconds of each memcpy of the whole array. */
  copyTimes(source: Float32Array, target: Float32Array, threads: number, repeats: number): number[];
  /** Returns the seconds of each reading of the whole array. */
  readTimes(source: Float32Array, threads: number, repeats: number): number[];
  /** Measures the processor cycles per second. */
  clockRate(): number;
  /**
   * Measures the operations per second that a core makes of an instruction set's products of bytes, where nothing waits;
   * 0 where that is not known.
   */
  bytePeak(instructionSet: string): number;
  /** Returns the bytes by which the array's memory lies past a multiple of 64. */
  misalignment(view: Float32Array): number;
}

const require = createRequire(import.meta.url);

/** Looks for the relative path in each folder above this module: sources and bundles lie at different depths. */
export function findAbove(relative: string): string | undefined {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = path.join(folder, relative);
    if (existsSync(candidate)) return candidate;
    const parent = path.dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
}

const libraryNames: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libonnxruntime.so.1',
  darwin: 'libonnxruntime.1.dylib',
};

/** Returns the ONNX Runtime library inside the npm package, or undefined if it has none for this platform. */
export function ortLibraryPath(): string | undefined {
  const name = libraryNames[process.platform];
  if (name === undefined) return undefined;
  const relative = path.join('bin', 'napi-v6', process.platform, process.arch, name);
  return findAbove(path.join('node_modules', 'onnxruntime-node', relative));
}

const operatorLibraries: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libspinquant_ops.so',
  darwin: 'libspinquant_ops.dylib',
};

/** Returns our operators as a shared library for any ONNX Runtime, or null when it has not been built. */
export function operatorLibraryPath(): string | null {
  const name = operatorLibraries[process.platform];
  return name === undefined ? null : (findAbove(path.join('build', 'native', name)) ?? null);
}

/**
 * @returns undefined when the addon has not been built.
 * @throws UserError `runtime/addon` when it is there but cannot be loaded.
 */
export function loadAddon(): Addon | undefined {
  const file = findAbove(path.join('build', 'native', 'spinquant.node'));
  if (file === undefined) return undefined;
  try {
    return require(file) as Addon;
  } catch (error) {
    throw new UserError(
      'runtime/addon',
      `The native operators in ${file} cannot be loaded: ${messageOf(error)}`,
      'Build them again with `npm run build:native`, or delete that file to use composed operators.',
    );
  }
}
