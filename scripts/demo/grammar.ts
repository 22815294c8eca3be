import type { Rng } from '../../src/engine/rotation/random.ts';

/** The values of the names in a template. */
export type Bindings = Readonly<Record<string, string>>;

/** Draws one of the values. */
export function pick<T>(rng: Rng, values: readonly T[]): T {
  return values[rng.integer(values.length)]!;
}

/** Draws `count` different values, in random order. */
export function pickSeveral<T>(rng: Rng, values: readonly T[], count: number): T[] {
  const pool = [...values];
  return Array.from({ length: count }, () => pool.splice(rng.integer(pool.length), 1)[0]!);
}

/**
 * Expands a template: `{name}` is replaced by its binding, `(this|that|)` by one of the alternatives, which may nest.
 * @throws Error on an unknown name or an unbalanced parenthesis, as the grammar itself is then wrong.
 */
export function expand(template: string, bindings: Bindings, rng: Rng): string {
  const cursor = { at: 0 };
  const text = expandSequence(template, cursor, rng);
  if (cursor.at !== template.length) throw new Error(`unbalanced ")" in template: ${template}`);
  return text.replace(/\{([^}]+)\}/g, (_, name: string) => {
    const value = bindings[name];
    if (value === undefined) throw new Error(`no binding for {${name}} in template: ${template}`);
    return value;
  });
}

function expandSequence(template: string, cursor: { at: number }, rng: Rng): string {
  let text = '';
  while (cursor.at < template.length) {
    const character = template[cursor.at]!;
    if (character === ')' || character === '|') break;
    cursor.at += 1;
    text += character === '(' ? expandChoice(template, cursor, rng) : character;
  }
  return text;
}

function expandChoice(template: string, cursor: { at: number }, rng: Rng): string {
  const alternatives = [expandSequence(template, cursor, rng)];
  while (template[cursor.at] === '|') {
    cursor.at += 1;
    alternatives.push(expandSequence(template, cursor, rng));
  }
  if (template[cursor.at] !== ')') throw new Error(`missing ")" in template: ${template}`);
  cursor.at += 1;
  return pick(rng, alternatives);
}

/** One is in or on these places, where templates have `at`. */
const INSIDE = /\b([Aa]t) (the (?:forest|meadow|garden|orchard|cave|barn|tower|village square|workshop)\b)/g;
const ON_TOP = /\b([Aa]t) (the (?:hill|beach|stone bridge)\b)/g;

/**
 * Corrects spaces, "an" before a vowel, and capitals at the start of sentences and of direct speech, which the pieces
 * cannot know. After `!"` and `?"` a sentence may go on (`"Who?" asked Tom`), so there templates decide.
 */
export function tidy(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/ ([,.;:!?])/g, '$1')
    .replace(/\b([Aa]) (?=[aeiou])/g, '$1n ')
    .replace(INSIDE, (_, at: string, place: string) => `${at === 'At' ? 'In' : 'in'} ${place}`)
    .replace(ON_TOP, (_, at: string, place: string) => `${at === 'At' ? 'On' : 'on'} ${place}`)
    .replace(/(^|[.!?] |[."] "|^"|, "|: "|[.]" )([a-z])/g, (_, before: string, letter: string) => {
      return before + letter.toUpperCase();
    })
    .trim();
}

/** Writes `one, two and three`. */
export function enumerate(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

const NUMBER_WORDS = [
  'no',
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'eleven',
  'twelve',
  'thirteen',
  'fourteen',
  'fifteen',
  'sixteen',
  'seventeen',
  'eighteen',
  'nineteen',
  'twenty',
] as const;

/** Writes 0 to 20 in words. */
export function inWords(value: number): string {
  return NUMBER_WORDS[value] ?? String(value);
}

/** Writes `one apple`, `three apples` or `no apples`. */
export function countOf(value: number, plural: string, singular: string): string {
  return `${inWords(value)} ${value === 1 ? singular : plural}`;
}
