import { type Mutation, mutateBytes } from './bytes.ts';
import type { Dice } from './dice.ts';

const INSERTS = [
  '\ufeff',
  '\u0000',
  '\u0085',
  '\u2028',
  '\ud83d\ude00',
  'e\u0301',
  '\u202e',
  '<s>',
  '</s>',
  '\r',
  '\n',
  '\n\n\n\n',
  '\u001b[2J',
  ' ',
  '\u00a0\u3000',
  '日本語',
  '🏳️‍🌈',
  '\ufffd\uffff',
];
/** A newline ends a line; none makes the text one line of this length. */
const FILLERS = ['a', ' ', 'ab ', '日', '.', '<s>', '\n'];

function insertAt(dice: Dice, text: string): string {
  const at = dice.below(text.length + 1);
  const insert = dice.chance(0.15) ? dice.pick(FILLERS).repeat(dice.length(100_000)) : dice.pick(INSERTS);
  return text.slice(0, at) + insert + text.slice(at);
}

/** Damages a text: odd characters, long lines, bytes that are no UTF-8, other encodings. */
export const mutateText: Mutation = (input, dice, others) => {
  if (dice.chance(0.35)) return mutateBytes(input, dice, others);
  let text = input.toString('utf8');
  for (let left = dice.pick([1, 2, 4]); left > 0; left--) text = insertAt(dice, text);
  if (dice.chance(0.05)) text = text.replaceAll('\n', '');
  const encoding = dice.chance(0.1) ? dice.pick(['utf16le', 'latin1'] as const) : 'utf8';
  return Buffer.from(text, encoding);
};
