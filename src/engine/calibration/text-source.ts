/** A text of an experiment as it is read: lines and pieces of plain text, or rows of data files. */
import { pathOf, type TextSource } from '../../config/index.ts';
import { readLines, readTextPieces } from '../../disk/text.ts';
import { hasRows, type PlacedRow, readPlacedRows } from '../../formats/rows.ts';
import { expectText } from '../../hub/locate.ts';
import { UserError } from '../../protocol/errors.ts';

/** What a source that is no more than a path leaves out. */
const PLAIN = { split: null, field: 'text', limit: null, join: '\n\n' } as const;

interface Parts {
  readonly files: readonly string[];
  readonly field: string;
  readonly limit: number;
  readonly join: string;
}

/** @throws UserError where its files are not there. */
function partsOf(source: TextSource): Parts {
  const { split, field, limit, join } = typeof source === 'string' ? PLAIN : { ...PLAIN, ...source };
  return { files: expectText(pathOf(source), split), field, limit: limit ?? Number.POSITIVE_INFINITY, join };
}

/**
 * Yields what calibration tokenizes on its own: lines of plain text with their newlines, texts of rows.
 * @param source its path is absolute, or an address on the Hub.
 * @throws UserError `rows/no-field`, `rows/no-text`, and those of locating and of reading the files.
 */
export async function* readUnits(source: TextSource, signal?: AbortSignal): AsyncGenerator<string, void> {
  const { files, field, limit } = partsOf(source);
  let left = limit;
  for (const file of files) {
    const units = hasRows(file) ? textsOf(file, field, signal) : readLines(file, signal);
    for await (const unit of units) {
      if (left-- <= 0) return;
      yield unit;
    }
  }
}

/**
 * Yields a text from its beginning on, in pieces. Between two rows stands what joins them; blank rows count.
 * @param source its path is absolute, or an address on the Hub.
 * @throws as {@link readUnits}.
 */
export async function* readPieces(source: TextSource, signal?: AbortSignal): AsyncGenerator<string, void> {
  const { files, limit, join } = partsOf(source);
  const isPlain = !files.some(hasRows);
  if (isPlain && files.length === 1 && limit === Number.POSITIVE_INFINITY) {
    yield* readTextPieces(files[0] ?? '', signal);
    return;
  }
  let isFirst = true;
  for await (const unit of readUnits(source, signal)) {
    // Lines have their newlines.
    yield isFirst || isPlain ? unit : `${join}${unit}`;
    isFirst = false;
  }
}

async function* textsOf(file: string, field: string, signal?: AbortSignal): AsyncGenerator<string, void> {
  for await (const row of readPlacedRows(file, { fields: [field], signal })) yield textOf(row, field);
}

function textOf({ row, place }: PlacedRow, field: string): string {
  const value = Object.hasOwn(row, field) ? row[field] : undefined;
  if (typeof value === 'string') return value;
  const names = Object.keys(row).map((name) => `"${name}"`);
  if (value === undefined)
    throw new UserError(
      'rows/no-field',
      `${place} has no field "${field}"; its fields are ${names.join(', ') || 'none'}.`,
      'Name one of these as "field".',
    );
  const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
  throw new UserError(
    'rows/no-text',
    `${place}: "${field}" is ${found}; a text is expected.`,
    'Name a field that holds text as "field".',
  );
}
