import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { build, type Metafile } from 'esbuild';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The extension in chunks, as it is built: what a chunk imports statically is evaluated with it. */
async function bundle(): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/extension/main.ts'],
    bundle: true,
    splitting: true,
    write: false,
    outdir: 'out',
    format: 'esm',
    platform: 'node',
    mainFields: ['module', 'main'],
    external: ['vscode'],
    metafile: true,
  });
  return metafile;
}

/** Sources in the entry's chunk and in those that it needs at once. */
function evaluatedAtStart({ outputs }: Metafile): string[] {
  const entry = Object.keys(outputs).find((path) => outputs[path]!.entryPoint === 'src/extension/main.ts')!;
  const chunks = new Set([entry]);
  for (const chunk of chunks)
    for (const { path, kind } of outputs[chunk]!.imports)
      if (kind === 'import-statement' && path in outputs) chunks.add(path);
  return [...chunks].flatMap((chunk) => Object.keys(outputs[chunk]!.inputs));
}

test('activation evaluates neither the schema nor the panels nor the channel to the worker', async () => {
  const metafile = await bundle();
  const first = evaluatedAtStart(metafile);
  assert.ok(first.includes('src/extension/experiments/lenses.ts'));
  const heavy =
    /node_modules\/(zod|vscode-jsonrpc)|src\/config\/schema|src\/runs\/|src\/extension\/panels\/(?!index\.ts)/;
  assert.deepEqual(
    first.filter((path) => heavy.test(path)),
    [],
  );
  const all = Object.keys(metafile.inputs);
  assert.deepEqual(
    all.filter((path) => /src\/(engine|formats|worker|cli)\/|onnxruntime/.test(path)),
    [],
  );
});

test('the entry is wiring only', () => {
  const lines = readFileSync(join(ROOT, 'src/extension/main.ts'), 'utf8').split('\n');
  assert.ok(lines.length <= 100, `${lines.length} lines`);
});
