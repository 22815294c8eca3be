import { type Mutation, mutateBytes } from './bytes.ts';
import type { Dice } from './dice.ts';
import { type JsonTree, leaf, type Slot, slotsOf, textOf, treeOf } from './json-tree.ts';

/** Not all are JSON; Python writes some of those that are not. */
const NUMBERS = [
  ...['0', '-0', '1', '-1', '2', '-5', '0.5', '3.5', '-0.001', '1e3', '1e5', '7', '100', '1000000'],
  ...['2147483647', '2147483648', '-2147483649', '4294967296', '1e9', '9007199254740991', '9007199254740993'],
  ...['18446744073709551616', '1e15', '1e38', '1e308', '1e-320', '1e999', '-1e999', '1E400'],
  ...['NaN', 'Infinity', '-Infinity', '0x10', '01', '.5', '1.', '+1', '1_000'],
];
const TEXTS = [
  '',
  ' ',
  'a',
  '1e5',
  '-5',
  'null',
  'true',
  '\u0000',
  'a\u0000b',
  '\u001b[31mred\u001b[0m',
  '\r\n\t',
  '\u007f\u0085\u2028\u2029',
  '\ufeff',
  '\ud800',
  '\udfff\ud800',
  '\u202e\u2066abc',
  'e\u0301\u0301\u0301',
  '👩‍👩‍👧‍👦',
  '<0xZZ>',
  '%s%n{}',
  '(',
  '[a-',
  '(a+)+$',
  '\\p{Foo}',
  '**`|<b>',
  '../../..',
  '/dev/zero',
  '.',
  '__proto__',
  'constructor',
  'toString',
  'x'.repeat(5000),
  '\uffff'.repeat(300),
];
const OTHERS = ['null', 'true', 'false', '{}', '[]', '[null]', '[[]]', '{"": null}', '[1, "a", {}]', ''];
const KEYS = [
  '',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'length',
  '\u0000',
  'toString',
  'x'.repeat(300),
];
const DEPTHS = [3, 100, 2000, 5000, 100_000];

function nested(dice: Dice, inside: string): string {
  const depth = dice.pick(DEPTHS);
  const [open, close] = dice.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const);
  return open.repeat(depth) + inside + close.repeat(depth);
}

function number(dice: Dice, { value }: Slot): string {
  const now = value.kind === 'leaf' ? Number(value.text) : Number.NaN;
  if (!Number.isFinite(now) || dice.chance(0.5)) return dice.pick(NUMBERS);
  return String(
    dice.pick([now + 1, now - 1, -now, now * 2, now / 2, now + 0.5, now * 1e6, now * 1e9, 1 / now]),
  );
}

/** A value where another stood. */
function otherValue(dice: Dice, slot: Slot, all: readonly Slot[]): JsonTree {
  switch (dice.below(7)) {
    case 0:
    case 1:
      return leaf(number(dice, slot));
    case 2:
      return leaf(JSON.stringify(dice.pick(TEXTS)));
    case 3:
      return leaf(dice.pick(OTHERS));
    case 4:
      return dice.pick(all).value;
    case 5:
      return leaf(JSON.stringify(textOf(slot.value)));
    default:
      return dice.chance(0.3)
        ? leaf(nested(dice, textOf(slot.value)))
        : { kind: 'array', items: [slot.value] };
  }
}

/** A text, changed within: most letters stay. */
function otherText(dice: Dice, text: string): string {
  const at = dice.below(text.length + 1);
  return text.slice(0, at) + dice.pick(TEXTS) + text.slice(dice.chance(0.5) ? at : at + 1);
}

function mutateTree(dice: Dice, tree: JsonTree): JsonTree {
  const all = slotsOf(tree);
  // Long lists would else take nearly all the changes.
  const shallow = all.filter(({ key }) => typeof key !== 'number' || key < 4);
  const slot = dice.pick(dice.chance(0.7) ? shallow : all);
  const { value } = slot;
  const key = String(slot.key);
  const text = value.kind === 'leaf' && value.text.startsWith('"') ? value.text : null;
  switch (dice.below(10)) {
    case 0:
      return slot.replace([]);
    case 1:
      return slot.replace([
        [key, value],
        [key, value],
      ]);
    case 2:
      return slot.replace([
        [key, value],
        [key, otherValue(dice, slot, all)],
      ]);
    case 3:
      return slot.replace([[dice.pick([...KEYS, otherText(dice, key)]), value]]);
    case 4:
      return slot.replace([
        [key, value],
        [dice.pick(KEYS), otherValue(dice, slot, all)],
      ]);
    case 5:
      if (text !== null)
        return slot.replace([[key, leaf(JSON.stringify(otherText(dice, text.slice(1, -1))))]]);
      return slot.replace([[key, leaf(number(dice, slot))]]);
    default:
      return slot.replace([[key, otherValue(dice, slot, all)]]);
  }
}

/** Damages a JSON text: mostly its values and keys, now and then its letters. */
export const mutateJson: Mutation = (input, dice, others) => {
  let tree = treeOf(JSON.parse(input.toString('utf8')));
  for (let left = dice.pick([1, 1, 1, 2, 3]); left > 0; left--) tree = mutateTree(dice, tree);
  let out = Buffer.from(textOf(tree));
  if (dice.chance(0.03)) out = Buffer.concat([Buffer.from('\ufeff'), out]);
  return dice.chance(0.12) ? mutateBytes(out, dice, others) : out;
};

/** The same for a file with a JSON value in each line. */
export const mutateJsonLines: Mutation = (input, dice, others) => {
  if (dice.chance(0.15)) return mutateBytes(input, dice, others);
  const lines = input.toString('utf8').trimEnd().split('\n');
  for (let left = dice.pick([1, 1, 2]); left > 0; left--) {
    const at = dice.below(lines.length);
    const line = textOf(mutateTree(dice, lineTree(lines[at]!)));
    lines.splice(at, dice.pick([0, 1, 1, 1]), ...dice.pick([[], [line], [line], [line, line]]));
    if (lines.length === 0 || !lines.every(isJson)) break;
  }
  return Buffer.from(lines.join('\n') + dice.pick(['\n', '\n', '\n', '', '\r\n', '\n\n']));
};

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** A line that was damaged before may be nested too deep to walk, or no JSON: it is a leaf then. */
function lineTree(line: string): JsonTree {
  try {
    return treeOf(JSON.parse(line));
  } catch {
    return leaf(line);
  }
}
