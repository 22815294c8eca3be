/** Products of whole numbers in the deployed network: whether there are any, and what results say of them. */
import type { Linear } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import type { Products } from '../network/packed-weights.ts';
import { deployedProducts } from './networks.ts';
import type { Workbench } from './workbench.ts';

/**
 * The products of the deployed network, of whole numbers and others.
 * @throws UserError `integer/no-kernels` where our operators have no kernels: composed ones would multiply in float32.
 */
export function integerProducts(bench: Workbench): Products {
  const { ownKernels } = bench.cache.abilities;
  if (ownKernels) return deployedProducts(bench);
  throw new UserError(
    'integer/no-kernels',
    `Integer matmuls need the native operators, and this is ${bench.runtime.description}.`,
    'Build them with `npm run build:native`, and compute on the processor with --kernels auto; or leave --integer out.',
  );
}

/** A result of the quantized network, or of another. */
export interface Measured {
  readonly quantized: unknown;
  readonly integer?: readonly Linear[] | undefined;
}

/** Results with the linear layers that were multiplied in whole numbers. @param products null for none. */
export function withProducts<T extends Measured>(results: readonly T[], products: Products | null): T[] {
  return results.map((result) =>
    products === null || result.quantized === null ? result : { ...result, integer: products.integer },
  );
}
