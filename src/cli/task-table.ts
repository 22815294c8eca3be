import { TASKS, taskTitle } from '../config/index.ts';
import { countedShare, METRIC_NAMES, type Share, type TaskScores } from '../protocol/task-scores.ts';
import type { TaskResult } from '../runs/index.ts';
import { formatTable } from './table.ts';

type Both<T> = { readonly full: T | null; readonly quantized: T | null };

/**
 * Formats the accuracy on each task in percent, with its standard error, in the order of the papers; then the mean, of
 * acc_norm where a task has it and of acc elsewhere. Limits stand in the column of questions.
 */
export function taskTable(results: readonly TaskResult[]): string {
  const ordered = [...results].sort((a, b) => placeOf(a.task) - placeOf(b.task));
  const rows = ordered.flatMap(rowsOf);
  const table = formatTable(
    ['zero-shot task', 'metric', 'full precision %', 'quantized %', 'change', 'questions'],
    results.length > 1 ? [...rows, meanRow(ordered)] : rows,
    ['left', 'left', 'right', 'right', 'right', 'right'],
  );
  const isLimited = results.some(({ limit }) => limit !== null);
  const notes = [
    ...(results.length > 1 ? ['The mean takes acc_norm where a task has it, else acc.'] : []),
    ...(isLimited ? ['With a limit, the first questions were asked: this is for a quick look.'] : []),
  ];
  return [table, ...notes].join('\n');
}

/** A task of another version stands behind those known. */
function placeOf(task: string): number {
  const place = TASKS.findIndex(({ name }) => name === task);
  return place < 0 ? TASKS.length : place;
}

function rowsOf({ task, questions, limit, fullPrecision, quantized }: TaskResult): string[][] {
  const asked = limit === null ? `${questions}` : `${questions} (limit ${limit})`;
  return (['acc', 'accNorm'] as const).flatMap((metric) => {
    const both = { full: fullPrecision?.[metric] ?? null, quantized: quantized?.[metric] ?? null };
    if (both.full === null && both.quantized === null) return [];
    return [[taskTitle(task), METRIC_NAMES[metric], ...cellsOf(both), asked]];
  });
}

function cellsOf({ full, quantized }: Both<Share>): string[] {
  const cell = (share: Share | null): string => {
    if (share === null) return '–';
    const error = share.standardError === null ? '' : ` ± ${percent(share.standardError)}`;
    return `${percent(share.value)}${error}`;
  };
  return [
    cell(full),
    cell(quantized),
    change({ full: full?.value ?? null, quantized: quantized?.value ?? null }),
  ];
}

function meanRow(results: readonly TaskResult[]): string[] {
  const full = meanOf(results.map(({ fullPrecision }) => fullPrecision));
  const quantized = meanOf(results.map((result) => result.quantized));
  const cell = (value: number | null): string => (value === null ? '–' : percent(value));
  const asked = results.reduce((sum, { questions }) => sum + questions, 0);
  return [
    `mean of ${results.length}`,
    '',
    cell(full),
    cell(quantized),
    change({ full, quantized }),
    `${asked}`,
  ];
}

/** Null where a task was not measured. */
function meanOf(scores: readonly (TaskScores | null)[]): number | null {
  const values = scores.map((one) => (one === null ? null : countedShare(one).value));
  if (values.some((value) => value === null)) return null;
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / values.length;
}

const percent = (share: number): string => (100 * share).toFixed(1);

/** In percentage points. */
function change({ full, quantized }: Both<number>): string {
  if (full === null || quantized === null) return '–';
  const points = 100 * (quantized - full);
  return `${points < 0 ? '−' : '+'}${Math.abs(points).toFixed(1)}`;
}
