import { precisionNote } from '../../../protocol/precision.ts';
import { type Doubt, type Spread, spreadOf } from '../../../protocol/spread.ts';
import { formatPerplexity } from '../../../protocol/text.ts';
import { type Measured, type Metric, measuredIn } from '../measured.ts';
import type { MatrixTable, TableRow } from '../summary.ts';

const PUBLISHED = ['accuracy', 'perplexity'] as const;

/** The metrics that papers print for rows of this table. */
export function publishedMetrics({ rows }: MatrixTable): (typeof PUBLISHED)[number][] {
  return PUBLISHED.filter((metric) =>
    rows.some((row) => row.published.some((value) => value.metric === metric)),
  );
}

export const publishedHeading = (metric: string): string => `published ${metric}`;

/** A published number as it was printed, with what is to be said against it; null where there is none. */
export function publishedNumber(
  { published }: TableRow,
  metric: string,
): { readonly text: string; readonly doubt: string | null } | null {
  const found = published.find((value) => value.metric === metric);
  if (!found) return null;
  const text = found.value >= 1000 ? found.value.toExponential(0).replace('+', '') : String(found.value);
  return { text, doubt: found.doubt ?? null };
}

/** The same with `?` where it is doubtful. */
export function publishedText(row: TableRow, metric: string): string {
  const found = publishedNumber(row, metric);
  if (!found) return '–';
  return found.doubt === null ? found.text : `${found.text} (?)`;
}

/** Sentences on where the published numbers are from; none where there are none. */
export function publishedNotes(table: MatrixTable): string[] {
  const { published, rows } = table;
  const metrics = publishedMetrics(table);
  if (!published || metrics.length === 0) return [];
  const means = metrics.map((metric) => `${metric} is ${published.metrics[metric]}`).join('; ');
  const doubts = new Map<string, string>();
  for (const row of rows)
    for (const metric of metrics) {
      const found = row.published.find((value) => value.metric === metric);
      if (found?.doubt) doubts.set(`${row.title} at ${row.bits}, ${metric}`, found.doubt);
    }
  return [
    `Published values are of ${published.model}: ${published.source} There, ${means}.`,
    ...[...doubts].map(([where, doubt]) => `Doubtful: ${where}. ${doubt}`),
  ];
}

/** `wikitext2 (perplexity)`, `PIQA (acc_norm, %)`. */
export function headingOf({ metric, title }: Metric): string {
  return `${title} (${metric === 'perplexity' ? metric : `${metric}, %`})`;
}

/** `8.123`, or `8.123 ± 0.045 (3 seeds)`, `(2 of 3 seeds)` while some lack; percent with one digit behind the point. */
export function spreadText(
  { metric }: Metric,
  { mean, deviation, n }: Spread,
  { cells }: Pick<TableRow, 'cells'>,
  plusMinus = '±',
): string {
  const text = metric === 'perplexity' ? formatPerplexity : (value: number) => value.toFixed(1);
  const spread = deviation === null ? '' : ` ${plusMinus} ${text(deviation)}`;
  const seeds = n < cells.length ? `${n} of ${cells.length} seeds` : `${n} seeds`;
  return `${text(mean)}${spread}${cells.length > 1 ? ` (${seeds})` : ''}`;
}

/** `4.249`, or the mean over seeds, of what is multiplied; null where no seed has exceptions. */
export function averageBitsText({ cells }: Pick<TableRow, 'cells'>): string | null {
  const mixed = cells.flatMap((cell) => cell.mixed ?? []);
  return mixed.length === 0 ? null : spreadOf(mixed.map((one) => one.mixed)).mean.toFixed(3);
}

/** Which places have other bits than the rest, row by row; seed by seed where these differ. */
export function mixedNotes({ rows }: Pick<MatrixTable, 'rows'>): string[] {
  return rows.flatMap(({ bits, title, cells }) => {
    const lines = new Map<string, number[]>();
    for (const { mixed, seed } of cells) {
      if (!mixed) continue;
      const line = `${mixed.mixed.toFixed(3)} bits on average: ${mixed.exceptions.join('; ')}.`;
      lines.set(line, [...(lines.get(line) ?? []), seed]);
    }
    return [...lines].map(([line, seeds]) => {
      const which = seeds.length < cells.length ? `, seed ${seeds.join(', ')}` : '';
      return `${title} at ${bits}${which}: ${line}`;
    });
  });
}

/** All that is said below a table, a sentence or more each. */
export function tableNotes(table: MatrixTable): string[] {
  const missing = table.rows.filter(({ note }) => note !== null);
  return [
    ...missing.map(({ bits, title, note }) => `${title} at ${bits}: ${note ?? ''}`),
    ...mixedNotes(table),
    ...remarksOf(table),
    ...publishedNotes(table),
  ];
}

/** What is to be said of the numbers measured: where no best is marked, that only some questions were asked, and a precision. */
export function remarksOf(table: MatrixTable): string[] {
  const measured = table.rows.flatMap(({ cells }) => cells.flatMap(measuredIn));
  const remarks = [limitNote(measured), precisionNote(measured)];
  return [...undecidedNotes(table), ...remarks.filter((remark) => remark !== null)];
}

const DOUBTS: Readonly<Record<Doubt, string>> = {
  spread: 'another row comes nearer to the best one than the spread of their seeds.',
  questions: 'another row comes nearer to the best one than the standard error of the questions.',
  equal: 'the best rows are equal.',
  draw: 'the best row drew by one seed, and more seeds would tell its spread.',
};

/** One sentence for each reason and its columns, with the settings of bits where it holds. */
function undecidedNotes({ undecided, columns }: MatrixTable): string[] {
  const settings = [...new Set(undecided.map(({ bits }) => bits))];
  const places = new Map<string, string[]>();
  for (const bits of settings)
    for (const [doubt, reason] of Object.entries(DOUBTS)) {
      const own = undecided.filter((one) => one.bits === bits && one.doubt === doubt);
      if (own.length === 0) continue;
      const named =
        own.length < columns.length ? ` in ${own.map(({ column }) => column.title).join(', ')}` : '';
      const sentence = `${named}: ${reason}`;
      places.set(sentence, [...(places.get(sentence) ?? []), bits]);
    }
  return [...places].map(([sentence, bits]) => `No best is marked at ${bits.join(', ')}${sentence}`);
}

/** Tells that only the first questions of tasks were asked; null where all were. */
function limitNote(measured: readonly Measured[]): string | null {
  const limits = measured.flatMap(({ limit }) => limit ?? []);
  if (limits.length === 0) return null;
  const most = Math.max(...limits);
  const asked = most === 1 ? 'question was' : `${most} questions were`;
  return `Of each task, the first ${asked} asked: this is for a quick look.`;
}
