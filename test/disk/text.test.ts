import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { readLines, readTextPieces } from '../../src/disk/text.ts';
import { cutCharacterLength, firstInvalidUtf8 } from '../../src/disk/utf8.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';

async function all(pieces: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const piece of pieces) found.push(piece);
  return found;
}

test('a text comes in pieces that end between two characters', async (t) => {
  const file = join(temporaryFolder(t), 'text');
  for (const text of ['', 'a', 'a\r\nb\n', '\u{1F600}ä€'.repeat(150_000), `x${'€'.repeat(400_000)}`]) {
    writeFileSync(file, text);
    const pieces = await all(readTextPieces(file));
    assert.equal(pieces.join(''), text);
    for (const piece of pieces) assert.equal(Buffer.from(piece).toString(), piece);
  }
});

test('a byte order mark at the start is dropped, one in the middle is a character', async (t) => {
  const file = join(temporaryFolder(t), 'text');
  writeFileSync(file, '\ufeffonce\ufeff upon');
  assert.deepEqual(await all(readTextPieces(file)), ['once\ufeff upon']);
});

test('lines have their newlines, wherever the pieces end', async (t) => {
  const file = join(temporaryFolder(t), 'text');
  const lines = Array.from({ length: 90_000 }, (_, i) => `${'ä'.repeat(i % 40)} ${i}\n`);
  writeFileSync(file, `${lines.join('')}no newline`);
  assert.deepEqual(await all(readLines(file)), [...lines, 'no newline']);
});

test('the first byte that is no UTF-8 is told, with line and place', async (t) => {
  const file = join(temporaryFolder(t), 'text');
  const read = () => all(readTextPieces(file));
  writeFileSync(file, Buffer.from('plain\nna\xefve\n', 'latin1'));
  await rejectsWith(read, 'text/encoding', /:2: byte 8 of the file is 0xEF, which is not UTF-8/);
  writeFileSync(file, Buffer.concat([Buffer.alloc(1_500_000, 'ab\n'), Buffer.from([0xc3])]));
  await rejectsWith(read, 'text/encoding', /:500001: byte 1500000 of the file is 0xC3/);
  writeFileSync(file, Buffer.concat([Buffer.alloc(2000, 'ab\n'), Buffer.from('a\0b')]));
  await rejectsWith(read, 'text/encoding', /:667: byte 2001 of the file is 0x00/);
});

test('devices and pipes are refused at once', { skip: process.platform === 'win32' }, async () => {
  await rejectsWith(() => all(readTextPieces('/dev/zero')), 'file/kind', /is a device/);
});

test('reading stops when it is cancelled', async (t) => {
  const file = join(temporaryFolder(t), 'text');
  writeFileSync(file, Buffer.alloc(5 << 20, 'a'));
  const controller = new AbortController();
  const pieces = readTextPieces(file, controller.signal);
  await pieces.next();
  controller.abort();
  await assert.rejects(pieces.next(), /Cancelled/);
});

test('bytes are UTF-8 exactly where the standard decoder says so', () => {
  const strict = new TextDecoder('utf-8', { fatal: true });
  const accepts = (bytes: Uint8Array) => {
    try {
      strict.decode(bytes);
      return true;
    } catch {
      return false;
    }
  };
  // Every beginning of up to three bytes, and its ends at the borders of what may follow.
  const borders = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
  for (let first = 0; first < 256; first++)
    for (const second of borders)
      for (const third of borders)
        for (const bytes of [
          [first],
          [first, second],
          [first, second, third],
          [first, second, third, 0xbf],
        ].map((list) => Uint8Array.from(list)))
          assert.equal(firstInvalidUtf8(bytes) === null, accepts(bytes), `${bytes}`);
});

test('a character that is cut is held back, whole ones are not', () => {
  const bytes = new TextEncoder().encode('aä€\u{1F600}');
  const found = Array.from(bytes, (_, i) => cutCharacterLength(bytes.subarray(0, i + 1)));
  assert.deepEqual(found, [0, 1, 0, 1, 2, 0, 1, 2, 3, 0]);
});
