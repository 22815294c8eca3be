import { parseJson } from '../disk/json.ts';
import { linesOf, readPackedPieces, readTextPieces } from '../disk/text.ts';
import { UserError } from '../protocol/errors.ts';
import type { PlacedRow, Row } from './rows.ts';

/** A list is one value, and must fit into memory as a whole. */
const MAX_LIST = 1 << 27;
const LINES =
  'Each line of JSON lines is one object: { "text": "…" }. Repair the line, or download the file again.';

/**
 * The objects of a file of JSON lines, one a line, or of one JSON list.
 * @throws UserError `rows/json`, `rows/empty-line`, `rows/not-object`, `rows/long-list`.
 */
export async function* readJsonRows(path: string, signal?: AbortSignal): AsyncGenerator<PlacedRow, void> {
  const pieces = /\.gz$/i.test(path) ? readPackedPieces(path, signal) : readTextPieces(path, signal);
  const lines = linesOf(path, pieces);
  let number = 0;
  let empty: number | null = null;
  for await (const line of lines) {
    number++;
    if (line.trim() === '') {
      empty ??= number;
      continue;
    }
    if (number === 1 && line.trimStart().startsWith('[')) return yield* readList(path, line, lines);
    if (empty !== null) throw emptyLine(path, empty);
    const place = `${path}:${number}`;
    yield { row: rowOf(parseJson(line, place, { code: 'rows/json', hint: LINES }), place), place };
  }
}

async function* readList(
  path: string,
  first: string,
  lines: AsyncIterable<string>,
): AsyncGenerator<PlacedRow, void> {
  let text = first;
  for await (const line of lines) {
    text += line;
    if (text.length > MAX_LIST) throw longList(path);
  }
  const list = parseJson(text, path, { code: 'rows/json' });
  if (!Array.isArray(list)) throw notObject(path, list);
  for (const [index, value] of list.entries()) {
    const place = `${path}: row ${index + 1}`;
    yield { row: rowOf(value, place), place };
  }
}

function rowOf(value: unknown, place: string): Row {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notObject(place, value);
  return value as Row;
}

function notObject(place: string, value: unknown): UserError {
  const found = Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`;
  return new UserError('rows/not-object', `${place} is ${found}; an object { … } is expected.`, LINES);
}

function emptyLine(path: string, line: number): UserError {
  return new UserError(
    'rows/empty-line',
    `${path}:${line} is empty; each line of JSON lines is one object.`,
    'Remove the line, or download the file again: a part of it may be missing.',
  );
}

function longList(path: string): UserError {
  return new UserError(
    'rows/long-list',
    `${path} is a JSON list of more than ${MAX_LIST} characters.`,
    'Write it as JSON lines, one object a line: jq -c ".[]" FILE > FILE.jsonl',
  );
}
