import { formatPerplexity } from '../../../protocol/text.ts';
import { type Metric, measuredIn } from '../measured.ts';
import type { MatrixTable, Spread, TableRow } from '../summary.ts';

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

/** `8.123`, or `8.123 ± 0.045 (n = 3)` over seeds; percent with one digit behind the point. */
export function spreadText({ metric }: Metric, { mean, deviation, n }: Spread, plusMinus = '±'): string {
  const text = metric === 'perplexity' ? formatPerplexity : (value: number) => value.toFixed(1);
  return deviation === null ? text(mean) : `${text(mean)} ${plusMinus} ${text(deviation)} (n = ${n})`;
}

/** Tells that only the first questions of tasks were asked; null where all were. */
export function limitNote({ rows }: MatrixTable): string | null {
  const limits = rows.flatMap(({ cells }) => cells.flatMap(measuredIn)).flatMap(({ limit }) => limit ?? []);
  if (limits.length === 0) return null;
  const most = Math.max(...limits);
  const asked = most === 1 ? 'question was' : `${most} questions were`;
  return `Of each task, the first ${asked} asked: this is for a quick look.`;
}
