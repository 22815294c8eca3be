/** Every architecture as a folder with our operators: it computes what the engine's network does, token by token. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { cacheRowsOf } from '../../src/engine/onnx-export/native-attention.ts';
import { type FolderReport, writeModelAsFolder } from '../../src/engine/onnx-export/write-folder.ts';
import type { TableChoice } from '../../src/engine/onnx-export/write-model.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { NativeFolder } from '../helpers/native-session.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';
import { notBuilt } from '../native/support.ts';
import { distance, type Form, newFolder, NO_TOKENS, rotated, size } from './exported.ts';

const runtime = await createRuntime({ kernels: 'auto', threads: 1 });
const cache = new ProgramCache(runtime);
after(async () => {
  await cache.release();
  runtime.close();
});

const EXACT: TableChoice = { embeddings: 32, head: 32 };

async function written(
  t: TestContext,
  network: Network,
  tables = EXACT,
): Promise<{ readonly folder: NativeFolder; readonly report: FolderReport }> {
  const out = join(newFolder(t), 'model');
  const model = { cache, network, tables, target: 'native', tokens: NO_TOKENS, origin: {} } as const;
  const report = await writeModelAsFolder(out, model);
  const type = cacheRowsOf(network) as { dtype: 'int8' | 'float32'; width: number };
  return { folder: new NativeFolder(runtime, out, network.checkpoint.config, type), report };
}

/** A prompt, single tokens, a second prompt, single tokens; 16 tokens are a block of a packed cache. */
const CHUNKS = [5, 1, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];

async function bothLogits(t: TestContext, name: string, form: Form) {
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const { vocabSize } = checkpoint.config;
  const ids = Int32Array.from(readGolden(name).ids);
  const network = rotated(cache, checkpoint, { ...form, integer: true });
  const { folder, report } = await written(t, network);
  const decoder = new Decoder(network, 1, ids.length);
  const off: number[] = [];
  let start = 0;
  for (const count of CHUNKS) {
    const part = ids.subarray(start, start + count);
    const own = (await decoder.next(part)).data;
    const all = await folder.read(part);
    off.push(distance(all.subarray((count - 1) * vocabSize), own) / size(own));
    start += count;
  }
  return { off, report };
}

for (const form of [
  { weights: 4, activations: 8 },
  { weights: 4, activations: 4, cache: 4 },
  { weights: 4, activations: 8, cache: 8 },
] as const)
  for (const name of GOLDEN_NAMES)
    test(`${name}: ${JSON.stringify(form)}`, { skip: notBuilt }, async (t) => {
      const { off } = await bothLogits(t, name, form);
      console.log(Math.max(...off), off.map((x)=>x.toExponential(1)).join(' '));
    });
