import { z } from 'zod';
import { ALL_TASKS, TASKS, type TaskName, taskNameSchema } from './tasks/index.ts';

const titles = TASKS.map(({ name, title }) => (name === title ? name : `${name} (${title})`)).join(', ');

const taskSchema = z
  .strictObject({
    task: taskNameSchema().describe(
      `The task: ${titles}; ${ALL_TASKS} for these eight, each in its folder inside "data". Prompts, parts of the data sets and metrics are those of lm-evaluation-harness, without examples. Reference: all eight.`,
    ),
    data: z
      .string()
      .min(1)
      .max(4096)
      .describe(
        'The file with the questions, or a folder that holds it: JSON lines as published or as on the Hugging Face hub, with a *-labels.lst beside them where the answers are apart, the instruction form of LLM-Adapters (.json), or OpenBookQA as .tsv. Relative to this file.',
      ),
    limit: z
      .int()
      .min(1)
      .max(10_000_000)
      .nullable()
      .default(null)
      .describe(
        'Number of questions, from the first on; null for all. Tables say where there is a limit: such scores are for quick looks. Reference: null (all).',
      ),
  })
  .describe('A zero-shot task: the share of questions for which the right answer is the likeliest.');

export const tasksSchema = z
  .array(taskSchema)
  .max(100)
  .default([])
  .describe('The zero-shot tasks to measure accuracy on. Reference: the eight of the paper.');

export type TaskEntry = z.output<typeof taskSchema>;

/** One task with the place of its questions. */
export interface MeasuredTask {
  readonly task: TaskName;
  /** Path as in the experiment. */
  readonly data: string;
  /** True where `data` is the folder around the task's own. */
  readonly isAround: boolean;
  readonly limit: number | null;
  /** Place of its entry in `evaluation.tasks`. */
  readonly entry: number;
}

/** Returns the tasks of an experiment in its order, each named alone. */
export function measuredTasks(entries: readonly TaskEntry[]): readonly MeasuredTask[] {
  return entries.flatMap((entry, index) => tasksOfEntry(entry, index));
}

/** Returns what one entry stands for. @param entry its place in `evaluation.tasks`. */
export function tasksOfEntry({ task, data, limit }: TaskEntry, entry: number): readonly MeasuredTask[] {
  if (task !== ALL_TASKS) return [{ task, data, isAround: false, limit, entry }];
  return TASKS.map(({ name }) => ({ task: name, data, isAround: true, limit, entry }));
}
