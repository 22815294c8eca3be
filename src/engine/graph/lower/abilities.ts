import type { Runtime } from '../../runtime/types.ts';

/** A runtime's abilities beyond standard operators; builders of graphs may know no others. */
export interface Abilities {
  /** True where our own operators have kernels; otherwise they are composed of standard ones. */
  readonly ownKernels: boolean;
  /** True where products with bfloat16 weights have their own kernel, faster than float32. */
  readonly bfloat16Products: boolean;
}

export function abilitiesOf(runtime: Runtime): Abilities {
  return { ownKernels: runtime.kernels === 'native', bfloat16Products: runtime.multipliesBfloat16 };
}
