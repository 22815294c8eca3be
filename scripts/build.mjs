/** Bundles the product into `dist/`. */
import { chmodSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ROOT } from './project.mjs';

/** Packages that stay packages: they find native libraries beside themselves. */
const EXTERNAL = ['onnxruntime-node', 'onnxruntime-common'];

/** What all bundles for Node have in common. */
const COMMON = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  logLevel: 'warning',
};

/** CommonJS packages inside an ES module bundle still ask for Node's modules with `require`. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

/** Everything the product consists of, in `dist/` or another folder. Bundles do not depend on each other. */
export async function build(outdir = join(ROOT, 'dist')) {
  const { build: bundle } = await import('esbuild');
  await Promise.all([bundleNode(bundle, outdir), bundleExtension(bundle, outdir)]);
  await writeEditorSchema(bundle, outdir);
}

/**
 * `cli.js` and `worker.js`. What a command or request imports when it comes lies in its own chunk, shared by both, so
 * that neither `--help` nor the handshake reads the engine.
 */
async function bundleNode(bundle, outdir) {
  const { metafile } = await bundle({
    ...COMMON,
    entryPoints: [
      { in: 'src/cli/main.ts', out: 'cli' },
      { in: 'src/worker/main.ts', out: 'worker' },
    ],
    outdir,
    chunkNames: 'chunk-[hash]',
    splitting: true,
    format: 'esm',
    // ES modules where a package has them: its CommonJS form may load its parts in ways that no bundler follows.
    mainFields: ['module', 'main'],
    external: EXTERNAL,
    banner: { js: REQUIRE },
    metafile: true,
  });
  removeStale(outdir, Object.keys(metafile.outputs));
  chmodSync(join(outdir, 'cli.js'), 0o755);
}

/** `extension.cjs`: CommonJS, which every editor of the supported versions loads. Never the engine. */
async function bundleExtension(bundle, outdir) {
  await bundle({
    ...COMMON,
    entryPoints: ['src/extension/main.ts'],
    outfile: join(outdir, 'extension.cjs'),
    format: 'cjs',
    mainFields: ['module', 'main'],
    external: ['vscode'],
    minifySyntax: true,
    minifyWhitespace: true,
  });
}

/** `experiment.schema.json`, which the manifest names for completion and hover in `*.spinquant.json`. */
async function writeEditorSchema(bundle, outdir) {
  const module = join(outdir, `schema-${process.pid}.mjs`);
  await bundle({
    ...COMMON,
    entryPoints: ['src/extension/experiments/editor-schema.ts'],
    outfile: module,
    format: 'esm',
    mainFields: ['module', 'main'],
    sourcemap: false,
  });
  const { editorSchema } = await import(pathToFileURL(module).href);
  rmSync(module);
  writeFileSync(join(outdir, 'experiment.schema.json'), `${JSON.stringify(editorSchema(), null, 2)}\n`);
}

/** Chunks are named by their contents: those of earlier builds would stay for ever. */
function removeStale(outdir, outputs) {
  const current = new Set(outputs.map((path) => path.slice(path.lastIndexOf('/') + 1)));
  for (const name of readdirSync(outdir))
    if (/^chunk-.*\.js(\.map)?$/.test(name) && !current.has(name)) rmSync(join(outdir, name));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build(process.argv[2]);
