/** Bundles the product into `dist/`. */
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from './project.mjs';

/** Packages that stay packages: they find native libraries beside themselves. */
const EXTERNAL = ['onnxruntime-node', 'onnxruntime-common'];

/** CommonJS packages inside an ES module bundle still ask for Node's modules with `require`. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

/**
 * `src/cli/main.ts` → `cli.js` in `dist/` or another folder. What a command imports when it runs lies in its own chunk,
 * so that `--help` does not read the engine.
 */
export async function build(outdir = join(ROOT, 'dist')) {
  const { build: bundle } = await import('esbuild');
  const { metafile } = await bundle({
    absWorkingDir: ROOT,
    entryPoints: [{ in: 'src/cli/main.ts', out: 'cli' }],
    outdir,
    chunkNames: 'chunk-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // ES modules where a package has them: its CommonJS form may load its parts in ways that no bundler follows.
    mainFields: ['module', 'main'],
    external: EXTERNAL,
    banner: { js: REQUIRE },
    sourcemap: true,
    metafile: true,
    logLevel: 'warning',
  });
  removeStale(outdir, Object.keys(metafile.outputs));
  chmodSync(join(outdir, 'cli.js'), 0o755);
}

/** Chunks are named by their contents: those of earlier builds would stay for ever. */
function removeStale(outdir, outputs) {
  const current = new Set(outputs.map((path) => path.slice(path.lastIndexOf('/') + 1)));
  for (const name of readdirSync(outdir))
    if (/^chunk-.*\.js(\.map)?$/.test(name) && !current.has(name)) rmSync(join(outdir, name));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build(process.argv[2]);
