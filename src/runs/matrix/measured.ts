/** The numbers of one cell. */
import { FULL_PRECISION_ROW, TASKS, taskTitle } from '../../config/index.ts';
import type { MeasuredAt } from '../../protocol/precision.ts';
import { countedShare, METRIC_NAMES } from '../../protocol/task-scores.ts';
import type { TaskResult } from '../task-results.ts';
import type { TableCell } from './collect.ts';

/** Lower is better for perplexity, higher for the others, which are in percent. */
export interface Metric {
  /** `accuracy` is the mean over tasks: of acc_norm where a task has it, else of acc. */
  readonly metric: 'perplexity' | 'acc' | 'acc_norm' | 'accuracy';
  /** Name of the text or task; `average` for the mean over tasks. */
  readonly name: string;
  /** The name in tables. */
  readonly title: string;
}

export interface Measured extends Metric, MeasuredAt {
  readonly value: number;
  /** Of a share of questions, in percent; null for the others. */
  readonly standardError: number | null;
  /** What it was measured on: windows of a text, questions of a task. */
  readonly count: number;
  /** The limit of questions; null where all were asked, and for texts. */
  readonly limit: number | null;
  /** False for the metric of a task that the mean over tasks does not take. */
  readonly counts: boolean;
}

/** Those of the cell's own network, which for full precision is the checkpoint's. */
export function measuredIn({ method, results }: TableCell): Measured[] {
  const isFull = method === FULL_PRECISION_ROW.name;
  const texts = (results?.perplexity ?? []).flatMap(
    ({ name, fullPrecision, quantized, windows, precision }): Measured[] => {
      const value = isFull ? fullPrecision : quantized;
      const about = {
        metric: 'perplexity',
        name,
        title: name,
        standardError: null,
        limit: null,
        precision,
      } as const;
      return value === null ? [] : [{ ...about, value, count: windows, counts: true }];
    },
  );
  const tasks = inOrder(results?.tasks ?? []).map((result) => scoresOf(result, isFull));
  const counted = tasks.flat().filter(({ counts }) => counts);
  const isWhole = tasks.length > 1 && counted.length === tasks.length;
  return [...texts, ...tasks.flat(), ...(isWhole ? [averageOf(counted)] : [])];
}

/** In the order of the papers; a task of another version stands behind those known. */
function inOrder(results: readonly TaskResult[]): TaskResult[] {
  const place = ({ task }: TaskResult): number => {
    const found = TASKS.findIndex(({ name }) => name === task);
    return found < 0 ? TASKS.length : found;
  };
  return [...results].sort((a, b) => place(a) - place(b));
}

function scoresOf(
  { task, questions, limit, precision, ...variants }: TaskResult,
  isFull: boolean,
): Measured[] {
  const scores = isFull ? variants.fullPrecision : variants.quantized;
  if (scores === null) return [];
  const about = { name: task, title: taskTitle(task), count: questions, limit, precision };
  return (['acc', 'accNorm'] as const).flatMap((key): Measured[] => {
    const share = scores[key];
    if (!share) return [];
    const standardError = share.standardError === null ? null : 100 * share.standardError;
    const counts = share === countedShare(scores);
    return [{ ...about, metric: METRIC_NAMES[key], value: 100 * share.value, standardError, counts }];
  });
}

function averageOf(counted: readonly Measured[]): Measured {
  const sum = (of: (one: Measured) => number): number => counted.reduce((all, one) => all + of(one), 0);
  const limits = new Set(counted.map(({ limit }) => limit));
  return {
    metric: 'accuracy',
    name: 'average',
    title: `mean of ${counted.length}`,
    value: sum(({ value }) => value) / counted.length,
    // Tasks are independent samples: their errors add up as squares.
    standardError: Math.sqrt(sum(({ standardError }) => (standardError ?? 0) ** 2)) / counted.length,
    count: sum(({ count }) => count),
    limit: limits.size === 1 ? (counted[0]?.limit ?? null) : null,
    counts: true,
  };
}
