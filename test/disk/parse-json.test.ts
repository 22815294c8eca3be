import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from '../../src/disk/json.ts';
import { rejectsWith } from '../formats/support.ts';

test('values come back; a byte order mark is dropped', () => {
  assert.deepEqual(parseJson('{"a":[1,"}]{[",{"b\\\\":null}]}', 'f.json'), {
    a: [1, '}]{[', { 'b\\': null }],
  });
  assert.deepEqual(parseJson('\ufeff[1]', 'f.json'), [1]);
  assert.equal(parseJson('"\\ufeff\\""', 'f.json'), '\ufeff"');
});

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

const FAULTS: [name: string, text: string, message: RegExp][] = [
  ['nothing', '', /^f\.json is not valid JSON: Unexpected end/],
  ['another language', '<html>', /f\.json is not valid JSON: Unexpected token '<'/],
  ['a byte order mark within', '[\ufeff]', /not valid JSON/],
  ['too deep', nested(129), /f\.json nests .* more than 128 deep/],
  ['very deep', nested(1e6), /more than 128 deep/],
  ['deep objects that do not end', '{"a":'.repeat(5000), /more than 128 deep/],
  ['a text that does not end', '["\\"]', /not valid JSON/],
];

for (const [name, text, message] of FAULTS)
  test(`refused: ${name}`, () => rejectsWith(() => parseJson(text, 'f.json'), 'file/json', message));

test('128 levels are allowed, and brackets in texts do not count', () => {
  parseJson(nested(128), 'f.json');
  parseJson(JSON.stringify(['['.repeat(5000), `"${'{'.repeat(5000)}\\`]), 'f.json');
});

test('the caller names the part, the code and the hint', async () => {
  const words = { code: 'x/json', part: 'the header', hint: 'Copy it again.' };
  await rejectsWith(() => parseJson('[', 'f', words), 'x/json', /^f: the header is not valid JSON: /);
});
