import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Row, readPlacedRows, readRows } from '../../src/formats/rows.ts';
import { rejectsWith, temporaryFolder } from './support.ts';

const PARQUET = join(import.meta.dirname, '../fixtures/parquet');
/** As pyarrow was told to write them: 18 rows in groups of seven. */
const TEXTS = [
  '',
  ' = Once = \n',
  'upon a time, there was a lily.',
  '',
  'She had a cat — «ä€😀».\n',
  'The end.',
];
const OPTIONS = [['a', 'b'], ['c'], []];
const EXPECTED = Array.from({ length: 18 }, (_, label) => ({
  text: TEXTS[label % 6],
  label,
  options: OPTIONS[label % 3],
}));

async function all(rows: AsyncIterable<Row>): Promise<Row[]> {
  const found: Row[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

for (const codec of ['none', 'snappy', 'gzip', 'zstd'])
  test(`parquet, ${codec}: every row, whole numbers as numbers, lists as lists`, async () => {
    assert.deepEqual(await all(readRows(join(PARQUET, `${codec}.parquet`))), EXPECTED);
  });

test('of a parquet file only the fields and the row groups are read that are asked for', async (t) => {
  const file = join(temporaryFolder(t), 'x.parquet');
  const bytes = readFileSync(join(PARQUET, 'none.parquet'));
  // Of 7 + 7 + 4 rows, the second group has a text whose length is now beyond the page.
  const second = bytes.indexOf('The end.', bytes.indexOf('The end.') + 1);
  bytes.writeUInt32LE(0x7fffffff, second - 4);
  writeFileSync(file, bytes);
  const rows = readPlacedRows(file, { fields: ['text'] });
  for (let row = 0; row < 7; row++)
    assert.deepEqual((await rows.next()).value, {
      row: { text: TEXTS[row % 6] },
      place: `${file}: row ${row + 1}`,
    });
  await rejectsWith(() => rows.next(), 'parquet/damaged', /x\.parquet: row group 2 of 3 cannot be read/);
});

test('a parquet file that is cut short, is none, or lacks the field says so', async (t) => {
  const folder = temporaryFolder(t);
  const [cut, text] = [join(folder, 'cut.parquet'), join(folder, 'text.parquet')];
  writeFileSync(cut, readFileSync(join(PARQUET, 'zstd.parquet')).subarray(0, 1000));
  writeFileSync(text, 'Once upon a time');
  await rejectsWith(() => all(readRows(cut)), 'parquet/damaged', /cut\.parquet cannot be read: .*footer/);
  await rejectsWith(() => all(readRows(text)), 'file/kind', /text\.parquet is a text; a parquet file/);
  const fields = ['body'];
  await rejectsWith(
    () => all(readRows(join(PARQUET, 'zstd.parquet'), { fields })),
    'rows/no-field',
    /no field "body"; its fields are "text", "label", "options"/,
  );
});

test('JSON lines, plain or packed, and a JSON list give the same rows', async (t) => {
  const folder = temporaryFolder(t);
  const rows = [
    { text: 'a«\n', n: 1.5 },
    { text: '', list: [null] },
  ];
  const lines = rows.map((row) => JSON.stringify(row)).join('\r\n');
  const files = { 'a.jsonl': `${lines}\n\n`, 'a.json': JSON.stringify(rows, null, 2), 'b.json': lines };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text);
    assert.deepEqual(await all(readRows(join(folder, name))), rows, name);
    writeFileSync(join(folder, `${name}.gz`), gzipSync(text));
    assert.deepEqual(await all(readRows(join(folder, `${name}.gz`))), rows, `${name}.gz`);
  }
});

test('a line that is torn, empty or no object is told with its number', async (t) => {
  const file = join(temporaryFolder(t), 'x.jsonl');
  const refused = async (text: string, code: string, message: RegExp) => {
    writeFileSync(file, text);
    await rejectsWith(() => all(readRows(file)), code, message);
  };
  await refused('{"text":"a"}\n{"text":"b', 'rows/json', /x\.jsonl:2 is not valid JSON/);
  await refused('{"text":"a"}\n\n{"text":"b"}\n', 'rows/empty-line', /x\.jsonl:2 is empty/);
  await refused('{"text":"a"}\n"b"\n', 'rows/not-object', /x\.jsonl:2 is a string; an object/);
  await refused('[{"text":"a"}, 3]', 'rows/not-object', /x\.jsonl: row 2 is a number/);
  const packed = `${file}.gz`;
  writeFileSync(packed, gzipSync('{"text":"a"}\n'.repeat(9000)).subarray(0, 60));
  await rejectsWith(
    () => all(readRows(packed)),
    'gzip/damaged',
    /x\.jsonl\.gz cannot be unpacked to its end/,
  );
});

test('no more lines are read than are asked for', async (t) => {
  const file = join(temporaryFolder(t), 'x.jsonl');
  // What follows lies behind the first piece of the file.
  writeFileSync(file, `${'{"text":"abcdefghij"}\n'.repeat(60_000)}torn`);
  const rows = readRows(file);
  assert.deepEqual((await rows.next()).value, { text: 'abcdefghij' });
  await rows.return();
});
