/** The flat table: one row per run and text. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultRun, ResultsState, Setting, TextResult } from '../../src/protocol/panels/results.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { measuredPerplexity } from '../../src/protocol/perplexity.ts';
import { formatAge, formatDelta, formatNumber, formatPerplexity } from '../shared/format.ts';

/** A text with its perplexities as they were measured: null for none, infinite where the mean loss is above 709.78. */
type MeasuredText = Omit<TextResult, 'meanLoss'>;

export interface ResultRow {
  readonly run: ResultRun;
  readonly text: MeasuredText;
  /** Values of {@link TextResult.quantized} minus that at full precision. */
  readonly delta: number | null;
}

export interface ColumnModel {
  /** Name for sorting: a fixed one, or the dotted path of a setting. */
  readonly id: string;
  readonly title: string;
  readonly numeric: boolean;
  /** The key that rows are sorted by; null comes last. */
  value(row: ResultRow): string | number | null;
  /** The text that is shown, copied and filtered by. */
  show(row: ResultRow): string;
}

export interface Sorting {
  readonly column: string;
  readonly descending: boolean;
}

export function resultRows({ runs }: ResultsState): ResultRow[] {
  return runs.flatMap((run) =>
    run.texts.map(({ meanLoss, ...values }) => {
      const quantized = measuredPerplexity(values.quantized, meanLoss.quantized);
      const fullPrecision = measuredPerplexity(values.fullPrecision, meanLoss.fullPrecision);
      const text = { ...values, quantized, fullPrecision };
      return { run, text, delta: differenceOf(quantized, fullPrecision) };
    }),
  );
}

/** Null where one of them was not measured, or is too large for a number. */
function differenceOf(quantized: number | null, fullPrecision: number | null): number | null {
  if (quantized === null || fullPrecision === null) return null;
  const difference = quantized - fullPrecision;
  return Number.isFinite(difference) ? difference : null;
}

/** Settings that the fixed columns tell already. */
const TOLD: readonly RegExp[] = [
  /^quantization\.(weights|activations|keys|values)\.bits$/,
  /^evaluation\.perplexity\.\d+\.name$/,
  /^\$schema$/,
  /^runs$/,
];

/** Columns that stand even where all rows agree: what the table is about. */
const ALWAYS: ReadonlySet<string> = new Set(['run', 'method', 'bits', 'quantized', 'delta']);

/** The fixed columns, then the settings: all of them, or those in which the rows differ. */
export function resultColumns(
  rows: readonly ResultRow[],
  { strings, locale }: Pick<ResultsState, 'strings' | 'locale'>,
  now: number,
  onlyChanged: boolean,
): ColumnModel[] {
  const labelled = rows.some(({ run }) => run.label !== null);
  const deployed = rows.some(({ text }) => isDeployed(text));
  const fixed = fixedColumns(strings, locale, now).filter(
    ({ id }) => (labelled || id !== 'label') && (deployed || id !== 'products'),
  );
  const settings = settingPaths(rows).map((path) => settingColumn(path, strings));
  if (!onlyChanged) return [...fixed, ...settings];
  const differs = ({ value }: ColumnModel) => new Set(rows.map(value)).size > 1;
  return [...fixed.filter((column) => ALWAYS.has(column.id) || differs(column)), ...settings.filter(differs)];
}

/** The values that all rows share in columns left out, for the heading: `model llama-2-7b · text wikitext2`. */
export function commonFacts(
  rows: readonly ResultRow[],
  shown: readonly ColumnModel[],
  { strings, locale }: Pick<ResultsState, 'strings' | 'locale'>,
  now: number,
): string {
  const [first] = rows;
  if (!first) return '';
  const ids = new Set(shown.map(({ id }) => id));
  return fixedColumns(strings, locale, now)
    .filter(({ id }) => COMMON.has(id) && !ids.has(id))
    .map(({ title, show }) => `${title} ${show(first)}`)
    .join(' · ');
}

const COMMON: ReadonlySet<string> = new Set(['model', 'text', 'fullPrecision', 'windows']);

/** True where products of the quantized network were of whole numbers, as it is deployed. */
const isDeployed = ({ integer }: MeasuredText): boolean => integer !== undefined && integer.length > 0;

function fixedColumns(strings: ResultsStrings, locale: string, now: number): ColumnModel[] {
  const { columns, status } = strings;
  return [
    text('run', columns.run, ({ run }) => run.name),
    text('label', columns.label, ({ run }) => run.label ?? ''),
    text('method', columns.method, ({ run }) => run.method),
    {
      ...text('bits', columns.bits, ({ run }) => run.paperBits),
      value: ({ run }) => bitsOrder(run.paperBits),
    },
    ...measuredColumns(strings),
    number('steps', columns.steps, ({ run }) => run.steps, String),
    number(
      'lossLast',
      columns.lossLast,
      ({ run }) => run.loss?.last ?? null,
      (value) => formatNumber(value),
    ),
    {
      ...text('age', columns.age, ({ run }) => formatAge(run.startedAt, now, locale)),
      value: ({ run }) => -new Date(run.startedAt).getTime(),
    },
    text('status', columns.status, ({ run }) => status[run.status]),
  ];
}

function measuredColumns({ columns, wholeNumbers, simulated }: ResultsStrings): ColumnModel[] {
  return [
    number('quantized', columns.quantized, (row) => row.text.quantized, formatPerplexity),
    number(
      'delta',
      columns.delta,
      ({ delta }) => delta,
      (_, row) => formatDelta(row.text.quantized, row.text.fullPrecision),
    ),
    number('fullPrecision', columns.fullPrecision, (row) => row.text.fullPrecision, formatPerplexity),
    text('model', columns.model, ({ run }) => run.model),
    text('text', columns.text, (row) => row.text.name),
    number('windows', columns.windows, (row) => row.text.windows, String),
    text('products', columns.products, (row) => (isDeployed(row.text) ? wholeNumbers : simulated)),
  ];
}

function text(id: string, title: string, show: (row: ResultRow) => string): ColumnModel {
  return { id, title, numeric: false, value: show, show };
}

function number(
  id: string,
  title: string,
  value: (row: ResultRow) => number | null,
  format: (value: number | null, row: ResultRow) => string,
): ColumnModel {
  return { id, title, numeric: true, value, show: (row) => format(value(row), row) };
}

/** Many bits first, as the paper's columns go. */
export function bitsOrder(paperBits: string): string {
  return paperBits.replace(/\d+/g, (bits) => String(99 - Number(bits)).padStart(2, '0'));
}

function settingPaths(rows: readonly ResultRow[]): string[] {
  const paths = [...new Set(rows.flatMap(({ run }) => Object.keys(run.settings)))];
  return paths.filter((path) => !TOLD.some((pattern) => pattern.test(path)));
}

function settingColumn(path: string, strings: ResultsStrings): ColumnModel {
  const read = ({ run }: ResultRow) => run.settings[path];
  return {
    id: path,
    title: path,
    numeric: false,
    value: (row) => comparable(read(row)),
    show: (row) => settingText(read(row), strings),
  };
}

function comparable(value: Setting | undefined): string | number | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'boolean' ? Number(value) : value;
}

function settingText(value: Setting | undefined, strings: ResultsStrings): string {
  if (value === undefined || value === null) return '–';
  if (typeof value === 'boolean') return value ? strings.yes : strings.no;
  return String(value);
}

/** Rows in which every word of the filter occurs somewhere. */
export function filterRows(
  rows: readonly ResultRow[],
  columns: readonly ColumnModel[],
  filter: string,
): readonly ResultRow[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => {
    const text = [...columns.map(({ show }) => show(row)), row.run.bits].join('\n').toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** The whole table in order of one column; rows without a value come last either way, equal ones stay in place. */
export function sortRows(
  rows: readonly ResultRow[],
  columns: readonly ColumnModel[],
  { column, descending }: Sorting,
): readonly ResultRow[] {
  const by = columns.find(({ id }) => id === column);
  if (!by) return rows;
  const sign = descending ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [left, right] = [by.value(a), by.value(b)];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    return sign * compare(left, right);
  });
}

function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

/** Perplexities can only be compared on the same text, cut in the same way, of the same model. */
export function groundOf({ run, text }: ResultRow): string {
  return JSON.stringify([run.model, text.name, text.sequenceLength, text.windows]);
}

/** `wikitext2 · 2048 tokens × 141 windows` */
export function textTitle({ name, sequenceLength, windows }: MeasuredText, strings: ResultsStrings): string {
  return sequenceLength === null
    ? fill(strings.textSettingShort, name, windows)
    : fill(strings.textSetting, name, sequenceLength, windows);
}

/** The rows with the least perplexity of their ground. */
export function bestRows(rows: readonly ResultRow[]): ReadonlySet<ResultRow> {
  const best = new Map<string, ResultRow>();
  for (const row of rows) {
    const { quantized } = row.text;
    if (quantized === null || !Number.isFinite(quantized)) continue;
    const known = best.get(groundOf(row));
    if (!known || quantized < known.text.quantized!) best.set(groundOf(row), row);
  }
  return new Set(best.values());
}
