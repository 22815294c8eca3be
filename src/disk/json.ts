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

/** {@link readJsonFile} on text; `path` appears in messages. */
export function parseJson(text: string, path: string, better: Better = {}): unknown {
  try {
    return JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text) as unknown;
  } catch (error) {
    throw new UserError(
      better.code ?? 'file/json',
      `${path} is not valid JSON: ${messageOf(error)}.`,
      better.hint ?? AGAIN,
    );
  }
}
