import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { readJsonFile } from '../../src/disk/json.ts';
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
