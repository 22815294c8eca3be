import { precisionNote } from '../protocol/precision.ts';
import type { PerplexityResult, TaskResult } from '../runs/index.ts';
import { perplexityTable } from './perplexity-table.ts';
import { taskTable } from './task-table.ts';

interface Measurements {
  readonly perplexity: readonly PerplexityResult[];
  readonly tasks: readonly TaskResult[];
}

/** Returns the table of perplexity, then that of tasks, of those that were measured, and a precision that is not float32. */
export function measurementTables({ perplexity, tasks }: Measurements): string[] {
  const note = precisionNote([...perplexity, ...tasks]);
  return [
    ...(perplexity.length > 0 ? [perplexityTable(perplexity)] : []),
    ...(tasks.length > 0 ? [taskTable(tasks)] : []),
    ...(note === null ? [] : [note]),
  ];
}
