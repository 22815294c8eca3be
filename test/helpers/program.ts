/** Programs of ours in processes of their own. */
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the bundles, where `scripts/build-tests.mjs` made them; not there where a test runs from its source. */
declare const BUILT_TESTS: string | undefined;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What Node runs TypeScript with, from any folder. */
export const TSX = import.meta.resolve('tsx');

/**
 * Arguments with which Node runs one of the `PROGRAMS` of `scripts/build-tests.mjs`: its bundle if there is one, which
 * starts in a fraction of the time, else its source.
 * @param url of the source, as `new URL('x.ts', import.meta.url)` makes it.
 */
export function programArguments(url: URL): string[] {
  const source = fileURLToPath(url);
  if (typeof BUILT_TESTS === 'undefined') return ['--import', TSX, source];
  const bundle = join(BUILT_TESTS, relative(ROOT, source).replace(/\.ts$/, '.js'));
  return ['--enable-source-maps', bundle];
}
