import assert from 'node:assert/strict';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { encodePieces } from '../../src/engine/calibration/encode-text.ts';
import { concatenate } from '../../src/engine/calibration/tokens.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { Breath } from '../../src/engine/runtime/breath.ts';

const DEMO = openTokenizer(fileURLToPath(new URL('../../examples/demo/model', import.meta.url)));

async function* cutAt(text: string, length: number): AsyncGenerator<string, void> {
  for (let start = 0; start < text.length; start += length) yield text.slice(start, start + length);
}

/** @param wanted so few ids that the text is cut as often as possible; all of them are asked for nevertheless. */
async function inPieces(text: string, wanted = 1): Promise<Int32Array[]> {
  const options = { source: 'a text', wanted, breath: new Breath() };
  const found: Int32Array[] = [];
  for await (const ids of encodePieces(DEMO, cutAt(text, 5000), options)) found.push(ids);
  return found;
}

const WORDS = ['Anna', 'the', 'a', 'cat', 'said', '“no”', '3.14', 'naïve', '日本語。', 'x=1;', '\u{1F600}'];
const SPACES = [' ', ' ', ' ', '  ', '\n', '\n\n', '.\n', ' \n ', '\t', '\r\n'];

function randomText(seed: number, length: number, spaces: readonly string[]): string {
  const rng = new Rng(seed);
  const pick = (from: readonly string[]) => from[Math.floor(rng.uniform() * from.length)]!;
  let text = '';
  while (text.length < length) text += pick(WORDS) + pick(spaces);
  return text;
}

for (const [what, spaces] of [
  ['lines of all kinds', SPACES],
  ['a single line', [' ']],
  ['no spaces at all', ['。', ',', '']],
] as const)
  test(`pieces have the ids of the whole text: ${what}`, async () => {
    const text = randomText(7, 60_000, spaces);
    const pieces = await inPieces(text);
    assert.ok(pieces.length > 5, `${pieces.length} pieces`);
    assert.deepEqual(concatenate(pieces), DEMO.encode(text));
  });

test('a text without any place to cut it is encoded whole', async () => {
  const text = 'x'.repeat(20_000);
  const pieces = await inPieces(text);
  assert.equal(pieces.length, 1);
  assert.deepEqual(pieces[0], DEMO.encode(text));
});

test('no more is read than is asked for', async () => {
  let read = 0;
  async function* endless(): AsyncGenerator<string, void> {
    for (;;) {
      read++;
      yield randomText(read, 5000, SPACES);
    }
  }
  let count = 0;
  const options = { source: 'a text', wanted: 3000, breath: new Breath() };
  for await (const ids of encodePieces(DEMO, endless(), options)) {
    count += ids.length;
    if (count >= 3000) break;
  }
  assert.ok(count >= 3000 && read < 10, `${count} ids of ${read} pieces`);
});
