import { readFileSync } from 'node:fs';
import { messageOf, UserError } from '../protocol/errors.ts';
import { type Better, readingNow } from './faults.ts';
import { expectKind } from './file-kind.ts';

const AGAIN = 'Repair it, or download it again.';
/** serde_json, which tokenizers and safetensors use, refuses to go deeper than this. No file of a model does. */
const MAX_DEPTH = 128;

/**
 * Reads a JSON file. A byte order mark is dropped.
 * @param better its code stands for text that is no JSON.
 * @throws UserError `file/kind`, `file/unreadable`, and for text that is no JSON `file/json`.
 */
export function readJsonFile(path: string, better: Better = {}): unknown {
  return parseJson(readJsonText(path), path, better);
}

/** The text of a JSON file. @throws UserError `file/kind`, `file/unreadable`. */
export function readJsonText(path: string): string {
  expectKind(path, 'json');
  return readingNow(path, () => readFileSync(path, 'utf8'));
}

/** The error about a text says this. */
export interface JsonWords extends Better {
  /** The part of the file that is parsed, as "the header"; the whole file by default. */
  readonly part?: string;
}

/**
 * {@link readJsonFile} on text; `path` appears in messages. `NaN` and `Infinity`, as Python writes them, are numbers.
 * The depth is limited, so that whoever walks the value cannot run out of stack.
 * @throws UserError for text that is no JSON or nested too deep; it is the only error.
 */
export function parseJson(text: string, path: string, words: JsonWords = {}): unknown {
  const { code = 'file/json', hint = AGAIN, part } = words;
  const subject = part === undefined ? path : `${path}: ${part}`;
  if (isDeeper(text, MAX_DEPTH))
    throw new UserError(
      code,
      `${subject} nests lists and objects more than ${MAX_DEPTH} deep; no file of this kind does.`,
      hint,
    );
  const json = text.startsWith('\ufeff') ? text.slice(1) : text;
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    const value = parsePythonNumbers(json);
    if (value !== undefined) return value;
    throw new UserError(code, `${subject} is not valid JSON: ${messageOf(error)}.`, hint);
  }
}

/** Looks at brackets outside of texts; whether they match is for JSON.parse to say. */
function isDeeper(text: string, limit: number): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22:
        i = endOfText(text, i);
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > limit) return true;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
        break;
    }
  }
  return false;
}

/** Returns where the text that begins with the quotation mark at `start` ends. */
function endOfText(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** Strings are matched whole, so that nothing inside one is taken for a number. */
const STRING_OR_NUMBER = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|-?\bInfinity\b|\bNaN\b/g;

/** Parses a text with the numbers that Python adds to JSON; undefined where it has none, or is no JSON even so. */
function parsePythonNumbers(json: string): unknown {
  // No number in JSON is NaN, so a text stands for it that the file does not hold.
  let mark = 'NaN';
  while (json.includes(mark)) mark += '-';
  let count = 0;
  const plain = json.replace(STRING_OR_NUMBER, (token) => {
    if (token.startsWith('"')) return token;
    count++;
    // A number beyond the largest is read as infinite.
    return token === 'NaN' ? JSON.stringify(mark) : token.replace('Infinity', '1e999');
  });
  if (count === 0) return undefined;
  try {
    return JSON.parse(plain, (_, value: unknown) => (value === mark ? Number.NaN : value)) as unknown;
  } catch {
    return undefined;
  }
}
