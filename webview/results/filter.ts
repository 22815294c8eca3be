/** Filters of the table: words, and conditions on columns such as `seed=1`, `ppl<7`, `bits:4-4-4`, `-method:RTN`. */
import type { ColumnModel } from './columns.ts';
import type { ResultRow } from './rows.ts';

export interface Filter {
  /** Keeps the rows that fulfil every term. */
  keep(row: ResultRow): boolean;
  /** Terms that no row can fulfil, as they are written. */
  readonly unclear: readonly string[];
}

type Term = (row: ResultRow) => boolean;

/** Short names that people give columns. */
const ALIASES: Readonly<Record<string, string>> = {
  ppl: 'quantized',
  perplexity: 'quantized',
  fp: 'fullPrecision',
  name: 'run',
  time: 'seconds',
  duration: 'seconds',
  memory: 'peakBytes',
};

const UNITS: Readonly<Record<string, number>> = {
  s: 1,
  min: 60,
  h: 3600,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

const CONDITION = /^([\p{L}$_Δ][\p{L}\p{N}._-]*)(<=|>=|!=|=|<|>|:)(.+)$/u;

/** @param words what a row says in all, for terms that name no column: in lower case. */
export function parseFilter(
  text: string,
  columns: readonly ColumnModel[],
  words: (row: ResultRow) => string,
): Filter {
  const unclear: string[] = [];
  const terms = splitTerms(text).map((written): Term => {
    const negated = written.length > 1 && written.startsWith('-');
    const body = negated ? written.slice(1) : written;
    const term = termOf(body, columns, words);
    if (term === null) {
      unclear.push(written);
      return () => false;
    }
    return negated ? (row) => !term(row) : term;
  });
  return { keep: (row) => terms.every((term) => term(row)), unclear };
}

/** Words apart by spaces; quotes keep what is between them together. */
function splitTerms(text: string): string[] {
  return [...text.matchAll(/(?:"[^"]*"|[^\s"])+/g)].map(([term]) => term.replaceAll('"', '')).filter(Boolean);
}

/** Null where a number is compared with what is none. */
function termOf(
  text: string,
  columns: readonly ColumnModel[],
  words: (row: ResultRow) => string,
): Term | null {
  const [, name, operator, value] = CONDITION.exec(text) ?? [];
  const column = name === undefined ? undefined : columnNamed(name, columns);
  if (column === undefined || operator === undefined || value === undefined) {
    const word = text.toLowerCase();
    return (row) => words(row).includes(word);
  }
  return condition(column, operator, value);
}

function condition(column: ColumnModel, operator: string, written: string): Term | null {
  const word = written.toLowerCase();
  const shown: Term = (row) => column.show(row).toLowerCase() === word;
  const limit = numberOf(written);
  const equal: Term = (row) => (limit !== null && column.value(row) === limit) || shown(row);
  switch (operator) {
    case ':':
      return (row) => column.show(row).toLowerCase().includes(word);
    case '=':
      return equal;
    case '!=':
      return (row) => !equal(row);
  }
  if (limit === null) return null;
  const holds = ORDERS[operator];
  return (row) => {
    const value = column.value(row);
    return typeof value === 'number' && (holds?.(value, limit) ?? false);
  };
}

const ORDERS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
};

/** `7`, `1e-3`, `2min`, `1.5GiB`. */
function numberOf(written: string): number | null {
  const [, digits, unit] = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([a-z]*)$/i.exec(written) ?? [];
  if (digits === undefined) return null;
  const factor = unit ? UNITS[unit.toLowerCase()] : 1;
  return factor === undefined ? null : Number(digits) * factor;
}

/** By its name, its title, or the end of its path. The first of several is taken. */
function columnNamed(name: string, columns: readonly ColumnModel[]): ColumnModel | undefined {
  const wanted = (ALIASES[name.toLowerCase()] ?? name).toLowerCase();
  const plain = (text: string) => text.toLowerCase().replace(/\s+/g, '');
  const by = (match: (column: ColumnModel) => boolean) => columns.find(match);
  return (
    by(({ id }) => id.toLowerCase() === wanted) ??
    by(({ title }) => plain(title) === wanted) ??
    // Rotations are what seeds are mostly of.
    by(({ id }) => wanted === 'seed' && id === 'rotation.seed') ??
    by(({ id }) => id.toLowerCase().endsWith(`.${wanted}`))
  );
}
