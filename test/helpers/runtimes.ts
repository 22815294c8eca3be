/** The runtimes that every engine test runs on: composed operators always, native ones where they are built. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const ADDON = join(import.meta.dirname, '..', '..', 'build', 'native', 'spinquant.node');

/** `npm test` builds the native operators first; without a compiler there are none. */
export const KERNELS: readonly ('composed' | 'native')[] = existsSync(ADDON)
  ? ['composed', 'native']
  : ['composed'];
