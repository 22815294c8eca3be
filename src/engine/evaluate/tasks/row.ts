import { UserError } from '../../../protocol/errors.ts';

/** One question of a data set as an object, whatever file it was in: readers of tasks know no formats of files. */
export interface Row {
  readonly value: Readonly<Record<string, unknown>>;
  /** Where it stands, for messages: `/data/piqa/valid.jsonl:17`. It may take a search: it is asked for in messages alone. */
  readonly place: () => string;
}

/** A row that a reader cannot make a question of. @param found what is wrong with it. */
export function rowFault(row: Row, found: string, hint: string): UserError {
  return new UserError('tasks/row', `${row.place()}: ${found}.`, hint);
}

/** Returns a field that must be a text, under the first of its names that the row has. */
export function textOf(row: Row, ...names: readonly [string, ...string[]]): string {
  const value = fieldOf(row, names);
  if (typeof value === 'string') return value;
  throw rowFault(row, `"${nameIn(row, names)}" is ${shown(value)}; it must be a text`, DOWNLOAD);
}

/** Returns a field that must be a list of texts. */
export function textsOf(row: Row, name: string): readonly string[] {
  return asTexts(row, name, fieldOf(row, [name]));
}

export function asTexts(row: Row, name: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string')) return value;
  throw rowFault(row, `"${name}" is ${shown(value)}; it must be a list of texts`, DOWNLOAD);
}

/** A row without a field that must be there. */
export class MissingField extends UserError {
  readonly field: string;

  constructor(field: string, message: string, hint: string) {
    super('tasks/row', message, hint);
    this.field = field;
  }
}

/** Returns a field, whatever it is. @throws MissingField where the row has none of these names. */
export function fieldOf(row: Row, names: readonly [string, ...string[]]): unknown {
  const name = names.find((one) => row.value[one] !== undefined && row.value[one] !== null);
  if (name !== undefined) return row.value[name];
  const known = Object.keys(row.value);
  throw new MissingField(
    names[0],
    `${row.place()}: the field "${names[0]}" is missing; this row has ${known.length === 0 ? 'none' : known.slice(0, 12).join(', ')}.`,
    'Name a file of this task in one of its published layouts, with the answers.',
  );
}

const nameIn = (row: Row, names: readonly [string, ...string[]]): string =>
  names.find((name) => row.value[name] !== undefined) ?? names[0];

/**
 * Returns the index of the right choice from a number, or a number in a text.
 * @param first the number that stands for the first choice.
 */
export function numberedGold(row: Row, name: string, first: number, choices: number): number {
  const value = fieldOf(row, [name]);
  const number = typeof value === 'string' && /^\s*-?\d+\s*$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= first && number < first + choices)
    return number - first;
  const allowed = Array.from({ length: choices }, (_, i) => i + first);
  throw rowFault(row, `"${name}" is ${shown(value)}; the answer must be ${listed(allowed)}`, WITHOUT_ANSWERS);
}

/** Returns the index of the right choice from its label. */
export function labelledGold(row: Row, name: string, labels: readonly string[]): number {
  const value = fieldOf(row, [name]);
  const gold = typeof value === 'string' ? labels.indexOf(value.trim()) : -1;
  if (gold >= 0) return gold;
  throw rowFault(
    row,
    `"${name}" is ${shown(value)}; the answer must be ${listed(labels.map((label) => JSON.stringify(label)))}`,
    WITHOUT_ANSWERS,
  );
}

const DOWNLOAD = 'Download the data set again, in one of its published layouts.';
const WITHOUT_ANSWERS =
  'Test parts of some data sets are published without answers: name the part that papers report.';

function listed(values: readonly (string | number)[]): string {
  return values.length < 2 ? `${values[0]}` : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}

export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'absent';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
