/** Rows of the files that questions are published in. */

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { reading } from '../../../disk/faults.ts';
import { expectKind } from '../../../disk/file-kind.ts';
import { parseJson } from '../../../disk/json.ts';
import { readLines } from '../../../disk/text.ts';
import { readPlacedRows } from '../../../formats/rows.ts';
import { UserError } from '../../../protocol/errors.ts';
import { isObject } from '../../../protocol/object.ts';
import type { Row } from './row.ts';

/** @throws UserError `tasks/row` at the first line that is no row, and those of reading a file. */
export type RowReader = (path: string, signal?: AbortSignal) => AsyncGenerator<Row, void>;

/** Readers by the end of a file's name. Earlier ones are preferred where a folder has several files. */
export const ROW_READERS: ReadonlyMap<string, RowReader> = new Map([
  ['.jsonl', jsonLines],
  ['.json', jsonFile],
  ['.parquet', parquetFile],
  ['.tsv', tabSeparated],
  ['.txt', blocksOfLines],
]);

/** Reads the rows of a file. @throws UserError `tasks/layout` for a file of an unknown kind. */
export function readRows(path: string, signal?: AbortSignal): AsyncGenerator<Row, void> {
  const reader = ROW_READERS.get(extname(path).toLowerCase());
  if (reader) return reader(path, signal);
  throw new UserError(
    'tasks/layout',
    `${path} is none of the files that questions are read from: ${[...ROW_READERS.keys()].join(', ')}.`,
    'Name a file of one of these kinds, or a folder that has one.',
  );
}

const TORN = 'Download the file again, or take the line out.';

/** One JSON object a line. Blank lines may stand at the end alone. */
async function* jsonLines(path: string, signal?: AbortSignal): AsyncGenerator<Row, void> {
  let number = 0;
  let blank = 0;
  for await (const line of readLines(path, signal)) {
    number++;
    if (line.trim() === '') {
      blank ||= number;
      continue;
    }
    if (blank > 0)
      throw new UserError('tasks/row', `${path}:${blank}: the line is empty; each must be a row.`, TORN);
    yield objectRow(
      parseJson(line, `${path}:${number}`, { code: 'tasks/row', hint: TORN }),
      `${path}:${number}`,
    );
  }
}

function objectRow(value: unknown, place: string): Row {
  if (isObject(value)) return { value, place: () => place };
  throw new UserError('tasks/row', `${place}: the row is not an object { … }.`, TORN);
}

/** A list of objects, or, as some name them, JSON lines. */
async function* jsonFile(path: string, signal?: AbortSignal): AsyncGenerator<Row, void> {
  expectKind(path, 'text');
  const text = await reading(path, () => readFile(path, 'utf8'));
  if (!/^\ufeff?\s*\[/.test(text)) {
    yield* jsonLines(path, signal);
    return;
  }
  const rows = parseList(text, path);
  if (!Array.isArray(rows)) throw new UserError('tasks/row', `${path} is not a list of rows.`, TORN);
  for (const [index, value] of rows.entries()) {
    const place = () => `${path}:${lineOfItem(text, index)}`;
    if (!isObject(value))
      throw new UserError('tasks/row', `${place()}: the row is not an object { … }.`, TORN);
    yield { value, place };
  }
}

/** Adds the line of the fault to its message: the parser tells at most the place in the text. */
function parseList(text: string, path: string): unknown {
  try {
    return parseJson(text, path, { code: 'tasks/row', hint: 'Download the file again.' });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const place = /position (\d+)/.exec(error.message)?.[1];
    const line = lineAt(text, place === undefined ? text.trimEnd().length : Number(place));
    throw new UserError(error.code, error.message.replace(path, `${path}:${line}`), error.hint);
  }
}

/** As the Hub has data sets. */
async function* parquetFile(path: string, signal?: AbortSignal): AsyncGenerator<Row, void> {
  for await (const { row, place } of readPlacedRows(path, { signal }))
    yield { value: row, place: () => place };
}

/** Strings are matched whole, so that no bracket inside one counts. */
const MARKS = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|[[\]{},]/g;

/** Returns the line on which an item of the outermost list begins, from 1; the end of one that has no brackets. */
function lineOfItem(text: string, item: number): number {
  let [depth, ended] = [0, 0];
  for (const { 0: mark, index } of text.matchAll(MARKS)) {
    const isHere = depth === 1 && ended === item;
    if (mark === '{' || mark === '[') {
      if (isHere) return lineAt(text, index);
      depth++;
    } else if (mark === '}' || mark === ']') {
      depth--;
    } else if (mark === ',' && depth === 1) {
      if (isHere) return lineAt(text, index);
      ended++;
    }
  }
  return lineAt(text, text.length);
}

function lineAt(text: string, end: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** Columns have the names of the first line. */
async function* tabSeparated(path: string, signal?: AbortSignal): AsyncGenerator<Row, void> {
  let names: readonly string[] | null = null;
  let number = 0;
  for await (const line of readLines(path, signal)) {
    number++;
    const place = `${path}:${number}`;
    const cells = line.replace(/\r?\n$/, '').split('\t');
    if (names === null) {
      names = cells;
    } else if (cells.length === names.length) {
      yield { value: Object.fromEntries(names.map((name, i) => [name, cells[i]])), place: () => place };
    } else {
      throw new UserError(
        'tasks/row',
        `${place}: the line has ${cells.length} columns, and the first line names ${names.length}.`,
        TORN,
      );
    }
  }
}

/** Lines of one question in the text form of HellaSwag: the context, the number of the answer, the endings. */
const BLOCK = 6;

/** The text form of HellaSwag that llama.cpp reads. */
async function* blocksOfLines(path: string, signal?: AbortSignal): AsyncGenerator<Row, void> {
  let lines: string[] = [];
  let number = 0;
  for await (const line of readLines(path, signal)) {
    number++;
    lines.push(line.replace(/\r?\n$/, ''));
    if (lines.length < BLOCK) continue;
    const place = `${path}:${number - BLOCK + 1}`;
    const [query, label, ...endings] = lines;
    yield { value: { query, label, endings }, place: () => place };
    lines = [];
  }
  if (lines.some((line) => line.trim() !== ''))
    throw new UserError(
      'tasks/row',
      `${path}:${number}: the last question has ${lines.length} of its ${BLOCK} lines.`,
      TORN,
    );
}
