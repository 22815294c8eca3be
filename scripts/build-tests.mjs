/**
 * Bundles tests, and the programs that they start, into `build/tests`. From their sources each process would load
 * some hundred files through tsx, which takes one to two seconds of computing, some hundred times.
 */
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { ROOT } from './project.mjs';

const OUT = join(ROOT, 'build', 'tests');

/** Tests start these in processes of their own: `test/helpers/program.ts` finds them. */
const PROGRAMS = [
  'src/cli/main.ts',
  'src/worker/main.ts',
  'test/device/stock-steps.ts',
  'test/device/tiny-steps.ts',
  'test/fuzz/child.ts',
  'test/native/host/on-host.ts',
  'test/native/lose-file.ts',
  'test/native/run-operator.ts',
];

/**
 * @param files tests, relative to the folder of package.json.
 * @returns their bundles, in the same order and relative too.
 */
export async function buildTests(files) {
  rmSync(OUT, { recursive: true, force: true });
  await build({
    absWorkingDir: ROOT,
    entryPoints: [...new Set([...files, ...PROGRAMS])],
    outbase: ROOT,
    outdir: OUT,
    chunkNames: 'chunks/[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // From 20.10 on, Node knows `with { type: 'json' }`.
    target: 'node20.10',
    packages: 'external',
    sourcemap: true,
    sourcesContent: false,
    logLevel: 'warning',
    define: {
      'import.meta.url': 'SOURCE_URL',
      'import.meta.dirname': 'SOURCE_FOLDER',
      BUILT_TESTS: JSON.stringify(OUT),
    },
    plugins: [{ name: 'places of sources', setup: keepPlaces }],
  });
  return files.map((file) => relative(ROOT, join(OUT, file.replace(/\.ts$/, '.js'))));
}

/** A module that looks for files beside itself still finds them: its place is that of its source. */
function keepPlaces({ onLoad }) {
  onLoad({ filter: /\.m?[jt]s$/ }, ({ path }) => {
    const text = readFileSync(path, 'utf8');
    if (path.includes('node_modules') || !/import\.meta\.(url|dirname)/.test(text)) return null;
    const places = `const SOURCE_URL = ${JSON.stringify(pathToFileURL(path).href)}, SOURCE_FOLDER = ${JSON.stringify(dirname(path))};`;
    // On the first line, so that stacks name the right ones.
    return { contents: `${places} ${text}`, loader: path.endsWith('ts') ? 'ts' : 'js' };
  });
}
