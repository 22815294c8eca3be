/** Bundles the product into `dist/`. */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildWebview } from './build-webview.mjs';
import { messages } from './l10n.mjs';
import { ROOT } from './project.mjs';

/** These stay packages, since they find native libraries beside themselves. */
const EXTERNAL = ['onnxruntime-node', 'onnxruntime-common'];

/** All bundles for Node have these settings. */
const COMMON = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  logLevel: 'warning',
};

/** Messages of zod in fifty languages are half of what a command loads, and nothing shows them. */
const WITHOUT_LOCALES = {
  name: 'without-locales',
  setup(build) {
    build.onLoad({ filter: /zod[/\\]v4[/\\]locales[/\\]index\.js$/ }, () => ({ contents: 'export {};' }));
  },
};

/** CommonJS packages inside an ES module bundle still load Node's modules with `require`. */
const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

/** Builds the whole product in `dist/` or another folder. Bundles do not depend on each other. */
export async function build(outdir = join(ROOT, 'dist')) {
  const esbuild = await import('esbuild');
  await Promise.all([
    bundleNode(esbuild, outdir),
    bundleExtension(esbuild, outdir),
    buildWebview(esbuild.build, join(outdir, 'webview')),
  ]);
  await writeEditorSchema(esbuild, outdir);
  writeTexts(outdir);
}

/**
 * Bundles `cli.js` and `worker.js`. Late imports of a command or request lie in their own chunk, shared by both. So
 * neither `--help` nor the handshake reads the engine.
 */
async function bundleNode({ build: bundle }, outdir) {
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
    // ES modules come first: a package's CommonJS form may load its parts in ways that no bundler follows.
    mainFields: ['module', 'main'],
    external: EXTERNAL,
    banner: { js: REQUIRE },
    // What a command loads is read and compiled at every start.
    minifySyntax: true,
    minifyWhitespace: true,
    plugins: [WITHOUT_LOCALES],
    metafile: true,
  });
  removeStale(outdir, /^chunk-.*\.js(\.map)?$/, Object.keys(metafile.outputs));
  chmodSync(join(outdir, 'cli.js'), 0o755);
}

/**
 * Bundles `extension.cjs` in CommonJS, which every supported editor loads. It never holds the engine. Parts that
 * activation does not need lie in chunks. Only ES modules can be split, so each chunk is then converted to CommonJS.
 */
async function bundleExtension({ build: bundle, transform }, outdir) {
  const { outputFiles } = await bundle({
    ...COMMON,
    entryPoints: [{ in: 'src/extension/main.ts', out: 'extension' }],
    outdir,
    outExtension: { '.js': '.cjs' },
    chunkNames: 'extension-[hash]',
    splitting: true,
    format: 'esm',
    mainFields: ['module', 'main'],
    external: ['vscode'],
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: 'inline',
    write: false,
  });
  mkdirSync(outdir, { recursive: true });
  for (const { path, text } of outputFiles) {
    const name = basename(path);
    const { code, map } = await transform(text, {
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      minifyWhitespace: true,
      supported: { 'dynamic-import': false },
      sourcemap: 'external',
      sourcefile: name,
    });
    writeFileSync(path, `${code}//# sourceMappingURL=${name}.map\n`);
    writeFileSync(`${path}.map`, map);
  }
  removeStale(
    outdir,
    /^extension-.*\.cjs(\.map)?$/,
    outputFiles.flatMap(({ path }) => [path, `${path}.map`]),
  );
}

/** Writes `experiment.schema.json`, which the manifest names for completion and hover in `*.spinquant.json`. */
async function writeEditorSchema({ build: bundle }, outdir) {
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

/** Writes `l10n/bundle.l10n.json` and copies the translations in `l10n/`. */
function writeTexts(outdir) {
  const folder = join(outdir, 'l10n');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'bundle.l10n.json'), `${JSON.stringify(messages(), null, 2)}\n`);
  const translations = join(ROOT, 'l10n');
  if (existsSync(translations)) cpSync(translations, folder, { recursive: true });
}

/** Chunks are named by their contents, so those of earlier builds would stay for ever. */
function removeStale(outdir, chunks, outputs) {
  const current = new Set(outputs.map((path) => basename(path)));
  for (const name of readdirSync(outdir))
    if (chunks.test(name) && !current.has(name)) rmSync(join(outdir, name));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build(process.argv[2]);
