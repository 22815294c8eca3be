/**
 * The vocabulary and the merges of a `tokenizer.json` are nearly all of it. Here they are read from the text at once, with
 * no object of a hundred thousand properties between. What is written otherwise than in most files is left to JSON.parse
 * and the schema, which also word the faults.
 */
import { isObject } from '../../../protocol/object.ts';

export type Merge = readonly [left: string, right: string];

/** Merges that were read and checked; whoever walks the values of a file does not see them. */
export class ReadMerges {
  readonly #pairs: readonly Merge[];

  constructor(pairs: readonly Merge[]) {
    this.#pairs = pairs;
  }

  get pairs(): readonly Merge[] {
    return this.#pairs;
  }
}

/** Stands in the JSON for what was read already. */
const TAKEN = 'taken from the text';
const QUOTE = 0x22;
const COMMA = 0x2c;
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
/** Ids are whole numbers of 32 bits. */
const MOST_DIGITS = 10;
const LARGEST_ID = 0xffffffff;

/** Goes through a JSON text. Each function returns null where the text is not what it reads. */
class Cursor {
  readonly text: string;
  at: number;
  /** Where the next backslash is, looked for when it is passed. */
  #backslash = -1;

  constructor(text: string, at: number) {
    this.text = text;
    this.at = at;
  }

  /** Skips white space. @returns the code of the character there. */
  next(): number {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return code;
      this.at++;
    }
  }

  /** True where this character was next, which then is passed. */
  takes(code: number): boolean {
    if (this.next() !== code) return false;
    this.at++;
    return true;
  }

  string(): string | null {
    if (this.next() !== QUOTE) return null;
    const start = this.at + 1;
    if (this.#backslash < start) {
      const found = this.text.indexOf('\\', start);
      this.#backslash = found < 0 ? this.text.length : found;
    }
    let end = this.text.indexOf('"', start);
    const isPlain = end < this.#backslash;
    while (end >= 0 && this.#isEscaped(end)) end = this.text.indexOf('"', end + 1);
    if (end < 0) return null;
    this.at = end + 1;
    return isPlain ? this.text.slice(start, end) : parsed(this.text.slice(start - 1, end + 1));
  }

  #isEscaped(quote: number): boolean {
    let backslashes = 0;
    while (this.text.charCodeAt(quote - 1 - backslashes) === 0x5c) backslashes++;
    return backslashes % 2 === 1;
  }

  id(): number | null {
    this.next();
    const start = this.at;
    let id = 0;
    for (;;) {
      const digit = this.text.charCodeAt(this.at) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      id = id * 10 + digit;
      this.at++;
    }
    const digits = this.at - start;
    const isWritten = digits > 0 && digits <= MOST_DIGITS && (digits === 1 || this.text[start] !== '0');
    return isWritten && id <= LARGEST_ID ? id : null;
  }
}

function parsed(quoted: string): string | null {
  try {
    const value: unknown = JSON.parse(quoted);
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}

function readVocabulary(cursor: Cursor): Map<string, number> | null {
  const ids = new Map<string, number>();
  if (!cursor.takes(OPEN_OBJECT)) return null;
  if (cursor.takes(CLOSE_OBJECT)) return ids;
  do {
    const text = cursor.string();
    const id = text !== null && cursor.takes(0x3a) ? cursor.id() : null;
    if (text === null || id === null) return null;
    ids.set(text, id);
  } while (cursor.takes(COMMA));
  return cursor.takes(CLOSE_OBJECT) ? ids : null;
}

function readMerges(cursor: Cursor): Merge[] | null {
  const merges: Merge[] = [];
  if (!cursor.takes(OPEN_LIST)) return null;
  if (cursor.takes(CLOSE_LIST)) return merges;
  do {
    const merge = readMerge(cursor);
    if (merge === null) return null;
    merges.push(merge);
  } while (cursor.takes(COMMA));
  return cursor.takes(CLOSE_LIST) ? merges : null;
}

function readMerge(cursor: Cursor): Merge | null {
  if (cursor.takes(OPEN_LIST)) {
    const left = cursor.string();
    const right = left !== null && cursor.takes(COMMA) ? cursor.string() : null;
    return left !== null && right !== null && cursor.takes(CLOSE_LIST) ? [left, right] : null;
  }
  const both = cursor.string();
  const space = both === null ? -1 : both.indexOf(' ');
  if (both === null || space < 0 || both.includes(' ', space + 1)) return null;
  // The first line of a merges.txt is none.
  if (both.startsWith('#version')) return null;
  return [both.slice(0, space), both.slice(space + 1)];
}

/** The value of a key, where the text has it once in this form. */
function cut<T>(text: string, key: RegExp, read: (cursor: Cursor) => T | null) {
  const found = key.exec(text);
  // Within a text, its quotation mark would be escaped.
  if (found === null || text[found.index - 1] === '\\') return null;
  const start = found.index + found[0].length - 1;
  const cursor = new Cursor(text, start);
  const value = read(cursor);
  if (value === null) return null;
  const rest = `${text.slice(0, start)}${JSON.stringify(TAKEN)}${text.slice(cursor.at)}`;
  return { value, rest };
}

/**
 * Parses the text of a BPE `tokenizer.json`: `model.vocab` is a Map of ids by text, and `model.merges` are {@link ReadMerges}.
 * @returns null where the file is of another kind, or written otherwise.
 */
export function parseWithLongParts(text: string): unknown {
  const vocab = cut(text, /"vocab"\s*:\s*\{/, readVocabulary);
  const merges = vocab && cut(vocab.rest, /"merges"\s*:\s*\[/, readMerges);
  if (!merges) return null;
  try {
    const file: unknown = JSON.parse(merges.rest);
    const model = isObject(file) && isObject(file.model) ? file.model : null;
    if (!isObject(file) || model?.vocab !== TAKEN || model.merges !== TAKEN) return null;
    return { ...file, model: { ...model, vocab: vocab.value, merges: new ReadMerges(merges.value) } };
  } catch {
    return null;
  }
}
