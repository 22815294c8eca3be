/** The library in an exported folder, in a program without Node: it writes the tokens that the engine's runtime does. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findCompiler } from '../../scripts/build-native.mjs';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { writeModelAsFolder } from '../../src/engine/onnx-export/write-folder.ts';
import { ortLibraryPath } from '../../src/engine/runtime/addon.ts';
import { ONNX_ELEMENT_TYPE } from '../../src/engine/runtime/element-types.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { NativeFolder } from '../helpers/native-session.ts';
import { goldenFolder, readGolden } from '../model/goldens.ts';
import { notBuilt } from '../native/support.ts';
import { cacheTypeOf, NO_TOKENS, newFolder, rotated, SIXTEEN } from './exported.ts';

const compiler = await findCompiler();
const skip = notBuilt || (compiler === undefined && 'there is no C++ compiler');
const HOST = fileURLToPath(new URL('../native/library-host.cc', import.meta.url));
const STEPS = 20;

const runtime = await createRuntime({ kernels: 'auto', threads: 1 });
const cache = new ProgramCache(runtime);
after(async () => {
  await cache.release();
  runtime.close();
});

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('a program of C++ loads the library and writes the same tokens', { skip }, async (t) => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { config } = checkpoint;
  const network = rotated(cache, checkpoint, { weights: 4, activations: 4, cache: 4 });
  const out = join(newFolder(t), 'model');
  const model = { cache, network, tables: SIXTEEN, target: 'native', tokens: NO_TOKENS, origin: {} } as const;
  const { library } = await writeModelAsFolder(out, model);
  const program = join(newFolder(t), 'host');
  run(compiler!.command, [
    '-std=c++17',
    HOST,
    '-o',
    program,
    ...(process.platform === 'linux' ? ['-ldl'] : []),
  ]);
  const prompt = readGolden('llama').ids.slice(0, 7);
  const { dtype, width } = cacheTypeOf(network);
  const numbers = [config.layers, config.kvHeads, width, ONNX_ELEMENT_TYPE[dtype], STEPS, ...prompt];
  const files = [ortLibraryPath()!, join(out, 'model.onnx'), join(out, library!.file)];
  const said = run(program, [...files, ...numbers.map(String)]);

  const folder = new NativeFolder(runtime, out, config, cacheTypeOf(network));
  const ids: number[] = [];
  for (let next = [...prompt]; ids.length < STEPS; next = ids.slice(-1)) {
    const last = (await folder.read(next)).slice(-config.vocabSize);
    ids.push(last.indexOf(Math.max(...last)));
  }
  assert.deepEqual(said.trim().split(' ').map(Number), ids);
});
