import { readFileSync } from 'node:fs';
import { messageOf, UserError } from '../protocol/errors.ts';
import { type Better, readingNow } from './faults.ts';
import { expectKind } from './file-kind.ts';

const AGAIN = 'Repair it, or download it again.';

/**
 * Reads a JSON file. A byte order mark is dropped.
 * @param better its code stands for text that is no JSON.
 * @throws UserError `file/kind`, `file/unreadable`, and for text that is no JSON `file/json`.
 */
export function readJsonFile(path: string, better: Better = {}): unknown {
  expectKind(path, 'json');
  const text = readingNow(path, () => readFileSync(path, 'utf8'));
  return parseJson(text, path, better);
}

/** {@link readJsonFile} on text; `path` appears in messages. `NaN` and `Infinity`, as Python writes them, are numbers. */
export function parseJson(text: string, path: string, better: Better = {}): unknown {
  const json = text.startsWith('\ufeff') ? text.slice(1) : text;
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    const value = parsePythonNumbers(json);
    if (value !== undefined) return value;
    throw new UserError(
      better.code ?? 'file/json',
      `${path} is not valid JSON: ${messageOf(error)}.`,
      better.hint ?? AGAIN,
    );
  }
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
