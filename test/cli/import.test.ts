import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import test from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { temporaryFolder } from '../formats/support.ts';
import { ggufOf } from '../model/gguf-models.ts';
import type { TypedValue } from '../model/gguf-writer.ts';
import { ggufBytes } from '../model/gguf-writer.ts';
import { goldenFolder } from '../model/goldens.ts';
import { spinquant } from './spinquant.ts';

/** A folder with `tiny.gguf`. */
async function workspace(
  t: TestContext,
  metadata: Readonly<Record<string, TypedValue>> = {},
): Promise<string> {
  const folder = temporaryFolder(t);
  const contents = ggufOf(await openCheckpoint(goldenFolder('llama')));
  const bytes = ggufBytes({ ...contents, metadata: { ...contents.metadata, ...metadata } });
  writeFileSync(join(folder, 'tiny.gguf'), bytes);
  return folder;
}

test('import: the folder is named as an argument, by --out, or beside the file', async (t) => {
  const folder = await workspace(t);
  for (const [args, made] of [
    [['a/model'], 'a/model'],
    [['--out', 'b'], 'b'],
    [[], 'tiny'],
  ] as const) {
    const { code, stdout, stderr } = await spinquant(['import', 'tiny.gguf', ...args], folder);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /: 19,616 parameters\n$/);
    assert.equal((await openCheckpoint(join(folder, made))).config.layers, 2);
  }
});

test('import: one JSON document, with what the file does not say', async (t) => {
  const folder = await workspace(t, { 'tokenizer.ggml.pre': ['text', 'default'] });
  const { code, stdout, stderr } = await spinquant(['import', 'tiny.gguf', '--json'], folder);
  assert.equal(code, 0, stderr);
  const { model, warnings } = JSON.parse(stdout) as { model: string; warnings: string[] };
  assert.ok(existsSync(join(model, 'config.json')));
  assert.match(warnings.join(), /pre is "default"/);
  assert.match(stderr, /Warning: .*pre is "default"/);
});

test('import: faults of the call and of the file', async (t) => {
  const folder = await workspace(t);
  writeFileSync(join(folder, 'other.gguf'), 'something else, of some length');
  const cases: [string[], string][] = [
    [['tiny.gguf', 'a', '--out', 'b'], 'import/two-folders'],
    [['tiny.gguf', 'a', '--tokenizer', 't.bin'], 'import/tokenizer'],
    [['tiny.gguf', 'a', '--dtype', 'float16'], 'cli/usage'],
    [['other.gguf', 'a'], 'file/kind'],
    [['nowhere.gguf', 'a'], 'import/unreadable'],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout } = await spinquant(['import', ...args, '--json'], folder);
    assert.equal(code, 1, args.join(' '));
    assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, expected, args.join(' '));
  }
  assert.ok(!existsSync(join(folder, 'a')));
});
