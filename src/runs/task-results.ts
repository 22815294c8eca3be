/** What zero-shot tasks came to, in `results.json` and in the files of the folder `tasks`. */
import { z } from 'zod';
import { LINEARS, type Linear } from '../protocol/block.ts';
import { EVALUATION_PRECISIONS, type MeasuredAt } from '../protocol/precision.ts';
import type { TaskScores } from '../protocol/task-scores.ts';

export interface TaskResult extends MeasuredAt {
  /** Name of the task, as in an experiment: `piqa`. */
  readonly task: string;
  /** Number of questions asked. */
  readonly questions: number;
  /** The limit of the experiment; null where all questions were asked. */
  readonly limit: number | null;
  /** Scores of the original network; null when not measured. */
  readonly fullPrecision: TaskScores | null;
  /** Scores with this experiment's rotations and quantizers; null when not measured. */
  readonly quantized: TaskScores | null;
  /** Linear layers whose products were of whole numbers, as of a perplexity. */
  readonly integer?: readonly Linear[] | undefined;
}

/** The scores of one variant, kept so that a run that was stopped need not measure them again. */
export interface KeptTask {
  readonly version: 1;
  /** Key of everything that decided them. */
  readonly key: string;
  readonly scores: TaskScores;
  readonly questions: number;
  readonly seconds: number;
}

export const linearsSchema = z.array(z.enum(LINEARS));

const share = z.object({ value: z.number(), standardError: z.number().nullable() });

export const taskScoresSchema = z.object({
  acc: share,
  accNorm: share.nullable(),
}) satisfies z.ZodType<TaskScores>;

const count = z.int().min(0);

export const taskResultSchema = z.looseObject({
  task: z.string(),
  questions: count,
  limit: count.nullable(),
  fullPrecision: taskScoresSchema.nullable(),
  quantized: taskScoresSchema.nullable(),
  integer: linearsSchema.optional(),
  precision: z.enum(EVALUATION_PRECISIONS).optional(),
}) satisfies z.ZodType<TaskResult>;

export const keptTaskSchema = z.object({
  version: z.literal(1),
  key: z.string(),
  scores: taskScoresSchema,
  questions: count,
  seconds: z.number(),
}) satisfies z.ZodType<KeptTask>;
