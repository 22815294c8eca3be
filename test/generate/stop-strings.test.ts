/** Strings that end a text, however the text is cut into pieces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StopStrings } from '../../src/engine/generate/stop-strings.ts';
import { noise } from '../helpers/tiny-network.ts';

/** What is shown of a text in pieces, and what ends it. */
function shown(pieces: readonly string[], stops: readonly string[]) {
  const found = new StopStrings(stops);
  let text = '';
  for (const piece of pieces) {
    const next = found.push(piece);
    text += next.text;
    if (next.stop !== null) return { text, stop: next.stop };
  }
  return { text: text + found.rest(), stop: null };
}

/** The string whose end comes first, by a look at every beginning of the text. */
function reference(text: string, stops: readonly string[]) {
  for (let end = 1; end <= text.length; end++) {
    const at = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    const [stop] = at.sort((a, b) => b.length - a.length);
    if (stop !== undefined) return { text: text.slice(0, end - stop.length), stop };
  }
  return { text, stop: null };
}

test('any text in any pieces ends before the string that is whole first', () => {
  const random = noise(4);
  const below = (most: number) => Math.floor(((random() + 1) / 2) * most);
  const word = (length: number) => Array.from({ length }, () => 'abc'[below(3)]).join('');
  let ended = 0;
  for (let turn = 0; turn < 3000; turn++) {
    const text = word(below(20));
    const stops = Array.from({ length: 1 + below(3) }, () => word(1 + below(5)));
    const pieces: string[] = [];
    for (let at = 0; at < text.length; at += pieces.at(-1)!.length)
      pieces.push(text.slice(at, at + 1 + below(4)));
    const expected = reference(text, stops);
    assert.deepEqual(shown(pieces, stops), expected, `${pieces.join('|')} ${stops}`);
    if (expected.stop !== null) ended++;
  }
  assert.ok(ended > 300 && ended < 2700);
});

test('nothing of a string is shown before it is known not to be one, and all else at once', () => {
  const found = new StopStrings(['\nUser:']);
  assert.deepEqual(found.push('Hello\nUs'), { text: 'Hello', stop: null });
  assert.deepEqual(found.push('ed'), { text: '\nUsed', stop: null });
  assert.deepEqual(found.push(' cars\n\nUser'), { text: ' cars\n', stop: null });
  assert.deepEqual(found.push(': no'), { text: '', stop: '\nUser:' });
  assert.equal(found.rest(), '');
});
