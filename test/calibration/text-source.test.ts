import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { TextSource } from '../../src/config/index.ts';
import { readPieces, readUnits } from '../../src/engine/calibration/text-source.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';

const ROWS = ['', ' = Once = \n', 'upon a time', '', ' there was. \n'];
const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

async function collected(pieces: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const piece of pieces) found.push(piece);
  return found;
}

const units = async (source: TextSource): Promise<string[]> => collected(readUnits(source));
const whole = async (source: TextSource): Promise<string> => (await collected(readPieces(source))).join('');

test('rows are joined with two newlines, blank ones too, as the reference does; calibration takes each alone', async (t) => {
  const file = join(temporaryFolder(t), 'test.jsonl');
  writeFileSync(file, lines(ROWS.map((text) => ({ text }))));
  assert.equal(await whole(file), ROWS.join('\n\n'));
  assert.deepEqual(await units(file), ROWS);
});

test('field, limit and join of a source', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'x.jsonl');
  writeFileSync(path, lines(ROWS.map((body) => ({ body }))));
  const source = { path, split: null, field: 'body', limit: 3, join: '|' };
  assert.equal(await whole(source), '| = Once = \n|upon a time');
  assert.deepEqual(await units(source), ROWS.slice(0, 3));
  const plain = join(folder, 'x.txt');
  writeFileSync(plain, 'a\nb\nc\n');
  assert.equal(await whole({ ...source, path: plain, limit: 2 }), 'a\nb\n');
});

test('a folder is read split by split, its files in their order', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'data'));
  for (const [name, text] of [
    ['train-00000-of-00002', 'a'],
    ['train-00001-of-00002', 'b'],
    ['test-00000-of-00001', 'c'],
  ])
    writeFileSync(join(folder, 'data', `${name}.jsonl`), lines([{ text }]));
  const source = { path: folder, split: 'train', field: 'text', limit: null, join: '\n\n' };
  assert.equal(await whole(source), 'a\n\nb');
  await rejectsWith(() => whole({ ...source, split: null }), 'dataset/ambiguous', /data test, data train/);
});

test('a field that is missing, or holds no text, is told with its row', async (t) => {
  const path = join(temporaryFolder(t), 'x.jsonl');
  writeFileSync(path, lines([{ text: 'a' }, { text: null, title: 'b' }, { title: 'c' }]));
  const source = { path, split: null, field: 'text', limit: null };
  await rejectsWith(() => units(source), 'rows/no-text', /x\.jsonl:2: "text" is null/);
  await rejectsWith(
    () => units({ ...source, field: 'title' }),
    'rows/no-field',
    /x\.jsonl:1 has no field "title"; its fields are "text"/,
  );
  await rejectsWith(() => units({ ...source, field: 'toString' }), 'rows/no-field', /toString/);
});
