import type { Runtime } from '../../runtime/types.ts';

/** A runtime's abilities beyond standard operators; builders of graphs may know no others. */
export interface Abilities {
  /** True where our own operators have kernels; otherwise they are composed of standard ones. */
  readonly ownKernels: boolean;
  /** True where products with bfloat16 weights have their own kernel, faster than float32. */
  readonly bfloat16Products: boolean;
  /** True where products of numbers that are rounded to bfloat16 are faster than those of float32. */
  readonly roundedProducts: boolean;
  /** True where products of whole numbers are faster than those of float32, and no bfloat16 products are. */
  readonly wholeProducts: boolean;
  /** True where our own sums of float32 products are as fast as standard operators. */
  readonly floatProducts: boolean;
}

export function abilitiesOf(runtime: Runtime): Abilities {
  const {
    kernels,
    multipliesBfloat16: bfloat16Products,
    multipliesRounded,
    multipliesBytes,
    multipliesFloats: floatProducts,
  } = runtime;
  const wholeProducts = multipliesBytes && !bfloat16Products;
  return {
    ownKernels: kernels === 'native',
    bfloat16Products,
    roundedProducts: multipliesRounded,
    wholeProducts,
    floatProducts,
  };
}
