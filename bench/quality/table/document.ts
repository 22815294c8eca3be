/** docs/quality.md, from the numbers of bench/results/quality.json. Nothing in its tables is written by hand. */
import { type Entry, type Filled, SEEDS } from './fill.ts';
import { priceOf, TABLE_ROWS, titleOf } from './rows.ts';

/** Puts the tables between `<!-- table: NAME -->` and `<!-- /table -->`. */
export function withTables(document: string, models: readonly Filled[]): string {
  const tables: Readonly<Record<string, string>> = {
    perplexity: perplexityTable(models),
    cost: costTable(models),
    more: moreTable(models),
  };
  return Object.entries(tables).reduce((text, [name, table]) => {
    const place = new RegExp(`(<!-- table: ${name} -->\\n)[^]*?(<!-- /table -->)`);
    return text.replace(place, (_, before: string, after: string) => `${before}${table}\n${after}`);
  }, document);
}

/** Rows × models: mean and range over seeds at W4A4KV4. */
function perplexityTable(models: readonly Filled[]): string {
  const head = ['W4A4KV4', ...models.map(({ title }) => title)];
  const rows = rowsOf(models).map(({ method, title }) => [
    title,
    ...models.map(({ entries }) => perplexities(entries, method, method === 'fp' ? null : '4-4-4')),
  ]);
  return markdown(head, rows);
}

/** Rows × models: seconds and memory of a cell, and what running it costs. */
function costTable(models: readonly Filled[]): string {
  const head = ['W4A4KV4', ...models.map(({ title }) => title), 'price at run time'];
  const rows = rowsOf(models)
    .filter(({ method }) => method !== 'fp')
    .map(({ method, title }) => [
      title,
      ...models.map(({ entries }) => costOf(entries, method)),
      priceOf(method) ?? '–',
    ]);
  return markdown(head, rows);
}

function moreTable(models: readonly Filled[]): string {
  const rows = models.flatMap(({ title: model, entries }) => {
    const asked = entries.filter(({ metric, bits }) => metric === 'accuracy' || bits === '4-8-8');
    const methods = [...new Set(asked.map(({ method }) => method))].sort(inOrder);
    return methods.map((method) => [
      `${model}: ${titleOf(method, entries)}`,
      perplexities(entries, method, method === 'fp' ? null : '4-8-8'),
      ...['4-4-4', '4-8-8'].map((bits) => accuracies(asked, method, method === 'fp' ? null : bits)),
    ]);
  });
  if (rows.length === 0) return 'Not measured yet.';
  return markdown(['', 'perplexity, W4A8KV8', 'tasks, W4A4KV4', 'tasks, W4A8KV8'], rows);
}

/** The rows of all models, in the order in which they stand. */
function rowsOf(models: readonly Filled[]): { method: string; title: string }[] {
  const all = models.flatMap(({ entries }) => entries);
  return [...new Set(all.map(({ method }) => method))]
    .sort(inOrder)
    .map((method) => ({ method, title: titleOf(method, all) }));
}

/** Full precision, then as rows stand. */
function inOrder(a: string, b: string): number {
  return TABLE_ROWS.indexOf(a) - TABLE_ROWS.indexOf(b);
}

function valuesOf(entries: readonly Entry[], method: string, metric: string, bits: string | null): number[] {
  return entries
    .filter((entry) => entry.method === method && entry.metric === metric)
    .filter((entry) => bits === null || entry.bits === bits)
    .flatMap(({ value }) => value ?? []);
}

function perplexities(entries: readonly Entry[], method: string, bits: string | null): string {
  const values = valuesOf(entries, method, 'perplexity', bits);
  return withSeeds(values, method, (value) => value.toPrecision(4));
}

function withSeeds(values: readonly number[], method: string, show: (value: number) => string): string {
  const shown = spread(values, show);
  return values.length === 1 && !SEEDLESS.includes(method) ? `${shown} (one seed)` : shown;
}

/** Rows that draw nothing: one measurement is all there is. */
const SEEDLESS = ['fp', 'rtn'];

/** Mean of the tasks, in per cent. */
function accuracies(entries: readonly Entry[], method: string, bits: string | null): string {
  const bySeed = new Map<number | null, number[]>();
  for (const { method: found, metric, bits: at, seed, value } of entries) {
    if (found !== method || metric !== 'accuracy' || (bits !== null && at !== bits) || value === null)
      continue;
    bySeed.set(seed, [...(bySeed.get(seed) ?? []), value]);
  }
  return withSeeds([...bySeed.values()].map(mean), method, (value) => `${value.toFixed(1)} %`);
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Mean, and the range where there are several values. */
function spread(values: readonly number[], show: (value: number) => string): string {
  if (values.length === 0) return '';
  const middle = show(mean(values));
  if (values.length === 1) return middle;
  const seeds = values.length === SEEDS.length ? '' : `, ${values.length} seeds`;
  return `${middle} (${show(Math.min(...values))} … ${show(Math.max(...values))}${seeds})`;
}

function costOf(entries: readonly Entry[], method: string): string {
  const cells = entries.filter((entry) => entry.method === method && entry.bits === '4-4-4');
  const seconds = cells.flatMap(({ seconds }) => seconds ?? []);
  if (seconds.length === 0) return '';
  const bytes = Math.max(...cells.map(({ peakBytes }) => peakBytes ?? 0));
  return `${Math.min(...seconds).toFixed(0)} s, ${(bytes / 1e9).toFixed(2)} GB`;
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n');
}
