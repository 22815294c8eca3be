/** The addon that loads MPI. */
import { createRequire } from 'node:module';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { findAbove } from '../runtime/addon.ts';

/** The exports of native-kernels/mpi/module.cc. Promises are kept in the order of the calls, by one thread. */
export interface MpiAddon {
  /** Loads the first of these files that is there. @throws with the fault of each. */
  load(names: readonly string[]): {
    readonly name: string;
    readonly family: string;
    readonly version: string;
  };
  /** Initializes MPI. */
  start(): Promise<number>;
  rank(): number;
  size(): number;
  barrier(): Promise<number>;
  broadcast(array: Uint8Array, root: number): Promise<number>;
  /** @param all holds `own` of each rank. */
  allGather(own: Uint8Array, all: Uint8Array): Promise<number>;
  /** @returns the bytes that this rank sent. */
  sum(array: Float32Array | Float64Array): Promise<number>;
  /** @returns 1 where all ranks came within this time, else 0. */
  meet(seconds: number): Promise<number>;
  finish(): Promise<number>;
  interrupt(): void;
  /** Tells all other ranks that this one stops. @param reason 1 or 2: what it means is the caller's. */
  tellStop(reason: number): Promise<number>;
  /** @returns the reason that another rank told; 0 where none stops. */
  heardStop(): Promise<number>;
  abort(code: number): void;
}

const FILE = ['build', 'native', 'spinquant_mpi.node'] as const;

/** @throws UserError `mpi/addon` where it is not built, or cannot be loaded. */
export function loadMpiAddon(): MpiAddon {
  const file = findAbove(FILE.join('/'));
  if (file === undefined) {
    throw new UserError(
      'mpi/addon',
      'This process is one of several that a launcher of MPI started, and the addon that loads MPI is not built.',
      'Build it with `npm run build:native`, which needs a C++ compiler; or start a single process.',
    );
  }
  try {
    // The addon's own file declares what it exports.
    return createRequire(import.meta.url)(file) as MpiAddon;
  } catch (error) {
    throw new UserError(
      'mpi/addon',
      `The addon that loads MPI, ${file}, cannot be loaded: ${messageOf(error)}`,
      'Build it again with `npm run build:native`.',
    );
  }
}
