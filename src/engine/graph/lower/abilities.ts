import type { Runtime } from '../../runtime/types.ts';

/** What a runtime can do beyond standard operators, as far as those who build graphs may know of it. */
export interface Abilities {
  /** Whether our own operators have kernels; else they are composed of standard ones. */
  readonly ownKernels: boolean;
  /** Whether products with bfloat16 weights have a kernel of their own, faster than those in float32. */
  readonly bfloat16Products: boolean;
}

export function abilitiesOf(runtime: Runtime): Abilities {
  return { ownKernels: runtime.kernels === 'native', bfloat16Products: runtime.multipliesBfloat16 };
}
