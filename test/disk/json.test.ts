import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { parseJson, readJsonFile } from '../../src/disk/json.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';

test('JSON is read with or without a byte order mark', (t) => {
  const file = join(temporaryFolder(t), 'a.json');
  for (const text of ['{"a": 1}', '\ufeff{"a": 1}']) {
    writeFileSync(file, text);
    assert.deepEqual(readJsonFile(file), { a: 1 });
  }
});

test('what is no JSON is told by what it is', async (t) => {
  const file = join(temporaryFolder(t), 'a.json');
  writeFileSync(file, '{"a": ');
  await rejectsWith(() => readJsonFile(file), 'file/json', /a\.json is not valid JSON/);
  await rejectsWith(() => readJsonFile(file, { code: 'model/index' }), 'model/index', /not valid JSON/);
  writeFileSync(file, '<html>');
  await rejectsWith(() => readJsonFile(file), 'file/kind', /is a web page/);
  await rejectsWith(() => readJsonFile(`${file}.no`), 'file/unreadable', /does not exist/);
});

test('the numbers that Python adds to JSON are numbers, and stay text inside strings', () => {
  const text =
    '{"a": NaN, "b": [Infinity,-Infinity], "c": "NaN, \\\\", "NaN": "say \\"Infinity\\"", "d": -1.5e3}';
  assert.deepEqual(parseJson(text, 'c.json'), {
    a: Number.NaN,
    b: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    c: 'NaN, \\',
    NaN: 'say "Infinity"',
    d: -1500,
  });
  const long = `{"a": NaN, "b": "${'x\\n'.repeat(3e6)}"}`;
  assert.equal((parseJson(long, 'c.json') as { b: string }).b.length, 6e6);
});

test('what only looks like such a number is no JSON', async () => {
  for (const text of [
    '{"a": nan}',
    '{"a": +Infinity}',
    '{"a": NaNs}',
    '{"a": - Infinity}',
    '{"a": NaN,}',
    'NaN"',
  ])
    await rejectsWith(() => parseJson(text, 'c.json'), 'file/json', /c\.json is not valid JSON/);
});
