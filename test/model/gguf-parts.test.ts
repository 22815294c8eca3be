/** A model in several files is the model in one. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { importGguf } from '../../src/engine/model/import-gguf.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { ggufOf } from './gguf-models.ts';
import { type GgufContents, ggufBytes, type TypedValue } from './gguf-writer.ts';
import { goldenFolder } from './goldens.ts';

const COUNT = 3;

/** The first part has the metadata of the model, and each those of the division. */
function divided(t: TestContext, { metadata, tensors }: GgufContents, announced?: number): string[] {
  const folder = temporaryFolder(t);
  const entries = Object.entries(tensors);
  const share = Math.ceil(entries.length / COUNT);
  return Array.from({ length: COUNT }, (_, i) => {
    const own: Record<string, TypedValue> = {
      'split.no': ['u32', i],
      'split.count': ['u32', COUNT],
      'split.tensors.count': ['i32', announced ?? entries.length],
    };
    const path = join(folder, `model-0000${i + 1}-of-0000${COUNT}.gguf`);
    const part = Object.fromEntries(entries.slice(i * share, (i + 1) * share));
    writeFileSync(path, ggufBytes({ metadata: { ...(i === 0 && metadata), ...own }, tensors: part }));
    return path;
  });
}

test('all parts are read, whichever is named', async (t) => {
  const source = await openCheckpoint(goldenFolder('llama'));
  for (const path of divided(t, ggufOf(source)).slice(0, 2)) {
    const { dir } = await importGguf({ file: path, out: join(temporaryFolder(t), 'out') });
    const result = await openCheckpoint(dir);
    assert.equal(result.tensors.size, source.tensors.size);
    for (const [name, file] of source.tensors)
      assert.deepEqual(readTensor(result.tensor(name)), readTensor(file), name);
  }
});

test('parts that are missing, mixed up or too few are named', async (t) => {
  const source = await openCheckpoint(goldenFolder('llama'));
  const contents = ggufOf(source);
  const out = join(temporaryFolder(t), 'out');
  const [first = '', second = '', third = ''] = divided(t, contents);
  const refused = (message: RegExp, file = first): Promise<void> =>
    rejectsWith(() => importGguf({ file, out }), 'gguf/split', message);
  rmSync(third);
  await refused(/one of 3 parts, and .*model-00003-of-00003\.gguf is missing/, second);
  writeFileSync(
    third,
    ggufBytes({ metadata: { 'split.no': ['u32', 1], 'split.count': ['u32', 3] }, tensors: {} }),
  );
  await refused(/model-00003-of-00003\.gguf says that it is part 2 of 3/);
  const [few = ''] = divided(t, contents, 7);
  await refused(/announces 7 tensors; the parts have \d+/, few);
  assert.deepEqual(readdirSync(join(out, '..')), []);
});
