/** The columns of the flat table. */
import type { ResultsState, Setting } from '../../src/protocol/panels/results.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import {
  formatAge,
  formatBytes,
  formatDelta,
  formatNumber,
  formatPerplexity,
  formatSeconds,
} from '../shared/format.ts';
import { bitsOrder, isDeployed, originText, type ResultRow, type Sorting, settingText } from './rows.ts';
import { shortPaths } from './short-paths.ts';

export interface ColumnModel {
  /** Name for sorting: a fixed one, or the dotted path of a setting. */
  readonly id: string;
  /** As short as it is clear. */
  readonly title: string;
  /** In full, for those who do not see where it stands; the same where it is not shortened. */
  readonly fullTitle: string;
  readonly numeric: boolean;
  /** True for a key of the experiment, whose name is its path. */
  readonly isSetting: boolean;
  /** The key that rows are sorted by; null comes last. */
  value(row: ResultRow): string | number | null;
  /** The text that is shown, copied and filtered by. */
  show(row: ResultRow): string;
}

/** What titles and texts are made of. */
export interface ColumnWords extends Pick<ResultsState, 'strings' | 'locale'> {
  /** Milliseconds. */
  readonly now: number;
}

/** Settings that the fixed columns tell already. */
const TOLD: readonly RegExp[] = [
  /^quantization\.(weights|activations|keys|values)\.bits$/,
  /^evaluation\.perplexity\.\d+\.name$/,
  /^\$schema$/,
  /^runs$/,
  // The column of the model has its name.
  /^model$/,
];

/** Columns that stand even where all rows agree: what the table is about. */
const ALWAYS: ReadonlySet<string> = new Set(['run', 'quantized', 'delta', 'method', 'bits', 'age']);
/** Stands below the name of the run. */
const ASKED_FOR: ReadonlySet<string> = new Set(['rotations']);
const COMMON: ReadonlySet<string> = new Set(['model', 'text', 'fullPrecision', 'windows']);

/** Every column that some row has something to say in. */
export function allColumns(rows: readonly ResultRow[], words: ColumnWords): ColumnModel[] {
  const isThere: Readonly<Record<string, (row: ResultRow) => boolean>> = {
    label: ({ run }) => run.label !== null,
    products: ({ text }) => isDeployed(text),
    rotations: ({ run }) => run.rotationsOf !== null,
    seconds: ({ run }) => run.seconds !== null,
    peakBytes: ({ run }) => run.peakBytes !== null,
  };
  const fixed = fixedColumns(rows, words).filter(({ id }) => rows.some(isThere[id] ?? (() => true)));
  return [...fixed, ...settingPaths(rows).map((path) => settingColumn(path, words.strings))];
}

/**
 * Those that are shown: all, or those in which the rows differ; and what the person chose beside.
 * @param chosen by id: whether the column is shown whatever the rows say.
 */
export function shownColumns(
  columns: readonly ColumnModel[],
  rows: readonly ResultRow[],
  onlyChanged: boolean,
  chosen: Readonly<Record<string, boolean>> = {},
): ColumnModel[] {
  const differs = ({ value }: ColumnModel) => new Set(rows.map(value)).size > 1;
  const shown = columns.filter((column) => {
    if (column.id === 'run' || column.id === 'quantized') return true;
    const asIs = !onlyChanged || ALWAYS.has(column.id) || (differs(column) && !ASKED_FOR.has(column.id));
    return chosen[column.id] ?? asIs;
  });
  // Headings are as short as tells those that are shown apart.
  const names = shortPaths(shown.filter(({ isSetting }) => isSetting).map(({ id }) => id));
  return shown.map((column) => ({ ...column, title: names.get(column.id) ?? column.title }));
}

/** The values that all rows share in columns left out, for the heading: `model llama-2-7b · text wikitext2`. */
export function commonFacts(
  rows: readonly ResultRow[],
  columns: readonly ColumnModel[],
  shown: readonly ColumnModel[],
): string {
  const [first] = rows;
  if (!first) return '';
  return columns
    .filter(({ id }) => COMMON.has(id) && !shown.some((column) => column.id === id))
    .filter(({ value }) => new Set(rows.map(value)).size === 1)
    .map(({ title, show }) => `${title} ${show(first)}`)
    .join(' · ');
}

function fixedColumns(rows: readonly ResultRow[], { strings, locale, now }: ColumnWords): ColumnModel[] {
  const { columns, status } = strings;
  return [
    text('run', columns.run, ({ run }) => run.name),
    number('quantized', columns.quantized, (row) => row.text.quantized, formatPerplexity),
    number(
      'delta',
      columns.delta,
      ({ delta }) => delta,
      (_, row) => formatDelta(row.text.quantized, row.text.fullPrecision),
    ),
    text('method', columns.method, ({ run }) => run.method),
    {
      ...text('bits', columns.bits, ({ run }) => run.paperBits),
      value: ({ run }) => bitsOrder(run.paperBits),
    },
    text('label', columns.label, ({ run }) => run.label ?? ''),
    ...measuredColumns(strings),
    text('rotations', columns.rotations, ({ run }) => originText(run, strings)),
    number('steps', columns.steps, ({ run }) => run.steps, String),
    ...lossColumns(rows, strings),
    number('seconds', columns.seconds, ({ run }) => run.seconds, orDash(formatSeconds)),
    number('peakBytes', columns.peakBytes, ({ run }) => run.peakBytes, orDash(formatBytes)),
    {
      ...text('age', columns.age, ({ run }) => formatAge(run.startedAt, now, locale)),
      value: ({ run }) => -new Date(run.startedAt).getTime(),
    },
    text('status', columns.status, ({ run }) => status[run.status]),
    text('experiment', columns.experiment, ({ run }) => run.experiment.name),
  ];
}

const orDash =
  (format: (value: number) => string) =>
  (value: number | null): string =>
    value === null ? '–' : format(value);

/** Losses of different objectives are not to be compared: each has a column with its unit. */
function lossColumns(rows: readonly ResultRow[], { columns, comparison }: ResultsStrings): ColumnModel[] {
  const objectives = new Set(rows.flatMap(({ run }) => (run.loss === null ? [] : [run.loss.objective])));
  return [...objectives].map((objective) => {
    const unit = objective === 'cross-entropy' ? comparison.inNats : objective;
    return number(
      `loss.${objective}`,
      `${columns.lossLast} (${unit})`,
      ({ run }) => (run.loss?.objective === objective ? run.loss.last : null),
      (value) => formatNumber(value),
    );
  });
}

function measuredColumns({ columns, wholeNumbers, simulated }: ResultsStrings): ColumnModel[] {
  return [
    number('fullPrecision', columns.fullPrecision, (row) => row.text.fullPrecision, formatPerplexity),
    text('model', columns.model, ({ run }) => run.model),
    text('text', columns.text, (row) => row.text.name),
    number('windows', columns.windows, (row) => row.text.windows, String),
    text('products', columns.products, (row) => (isDeployed(row.text) ? wholeNumbers : simulated)),
  ];
}

function text(id: string, title: string, show: (row: ResultRow) => string): ColumnModel {
  return { id, title, fullTitle: title, numeric: false, isSetting: false, value: show, show };
}

function number(
  id: string,
  title: string,
  value: (row: ResultRow) => number | null,
  format: (value: number | null, row: ResultRow) => string,
): ColumnModel {
  const show = (row: ResultRow) => format(value(row), row);
  return { id, title, fullTitle: title, numeric: true, isSetting: false, value, show };
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
    fullTitle: path,
    numeric: false,
    isSetting: true,
    value: (row) => comparable(read(row)),
    show: (row) => settingText(read(row), strings),
  };
}

function comparable(value: Setting | undefined): string | number | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'boolean' ? Number(value) : value;
}

/** Made once: a collator is slow to make. */
const COLLATOR = new Intl.Collator(undefined, { numeric: true });

/** The whole table in order of one column; rows without a value come last either way, equal ones stay in place. */
export function sortRows(
  rows: readonly ResultRow[],
  columns: readonly ColumnModel[],
  { column, descending }: Sorting,
): readonly ResultRow[] {
  const by = columns.find(({ id }) => id === column);
  if (!by) return rows;
  const sign = descending ? -1 : 1;
  const keyed = rows.map((row) => ({ row, key: by.value(row) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return Number(a.key === null) - Number(b.key === null);
    return sign * compare(a.key, b.key);
  });
  return keyed.map(({ row }) => row);
}

function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a === b ? 0 : a - b;
  return COLLATOR.compare(String(a), String(b));
}
