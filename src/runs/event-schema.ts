/** The events of `events.jsonl` as they are read. Keys that this version does not know stay. */
import { z } from 'zod';
import { PHASE_NAMES, type RunEvent } from '../protocol/events.ts';
import { measuredNumber as number } from './numbers.ts';
import { taskScoresSchema } from './task-results.ts';

const count = z.int().min(0);
const variant = z.enum(['full-precision', 'quantized']);
/** An event of one type. */
function event<const T extends RunEvent['type'], S extends z.ZodRawShape>(type: T, shape: S) {
  return z.looseObject({ type: z.literal(type), time: z.string(), ...shape });
}

/** The error that rounding leaves in one linear layer. */
export const roundingErrorSchema = z.looseObject({ linear: z.string(), error: number, nearest: number });

export const eventSchema = z.discriminatedUnion('type', [
  event('run-started', {
    job: z.enum(['optimize', 'evaluate', 'inspect']),
    run: z.string().nullable(),
    bits: z.string(),
    runtime: z.string(),
    resumedFromStep: count,
  }),
  event('phase', {
    phase: z.enum(PHASE_NAMES),
    state: z.enum(['started', 'finished']),
    detail: z.string().exactOptional(),
    seconds: number.exactOptional(),
  }),
  event('download-progress', { name: z.string(), file: z.string(), bytesDone: count, bytes: count }),
  event('import-progress', { tensorsDone: count, tensors: count, bytesDone: count, bytes: count }),
  event('preservation', {
    where: z.string(),
    maxLogitDifference: number,
    relative: number,
    tolerance: number,
  }),
  event('step', {
    step: count,
    of: count,
    loss: number,
    gradientNorm: number,
    learningRate: number,
    stepCap: z.looseObject({ r1: z.number().nullable(), r2Max: z.number().nullable() }),
    orthogonalityError: number,
    distanceFromStart: z.looseObject({ r1: z.number().nullable(), r2: z.number().nullable() }),
    seconds: number,
    tokens: count,
  }),
  event('checkpoint', { step: count }),
  event('scaling', {
    method: z.string(),
    layer: count,
    layers: count,
    choices: z.array(z.looseObject({ seam: z.string(), alpha: number, error: number })),
    seconds: number,
  }),
  event('training-progress', {
    method: z.string(),
    work: z.enum(['generate', 'train']),
    done: count,
    of: count,
    loss: number.nullable(),
  }),
  event('rounding-progress', {
    method: z.string(),
    layersDone: count,
    layers: count,
    done: number,
    loss: number.exactOptional(),
  }),
  event('rounding', {
    method: z.string(),
    layer: count,
    layers: count,
    errors: z.array(roundingErrorSchema),
    seconds: number,
    bitsPerWeight: number.optional(),
  }),
  event('evaluation-progress', {
    name: z.string(),
    variant,
    windowsDone: count,
    windows: count,
    runningPerplexity: number,
  }),
  event('evaluation', {
    name: z.string(),
    variant,
    perplexity: number,
    meanLoss: number.exactOptional(),
    windows: count,
    tokens: count,
    seconds: number,
  }),
  event('task-progress', {
    task: z.string(),
    variant,
    questionsDone: count,
    questions: count,
    runningAccuracy: number,
  }),
  event('task', {
    task: z.string(),
    variant,
    scores: taskScoresSchema,
    questions: count,
    limit: count.nullable(),
    seconds: number,
  }),
  event('statistics', { file: z.string(), layers: count, sites: count, seconds: number }),
  event('submitted', { job: count, tasks: count, limit: count }),
  event('queue', {
    running: count,
    pending: count,
    reasons: z.array(z.string()),
    cells: count,
    settled: count,
  }),
  event('cell', {
    state: z.enum(['kept', 'started', 'finished', 'failed', 'empty', 'busy']),
    cell: count,
    cells: count,
    bits: z.string(),
    method: z.string(),
    title: z.string(),
    seed: count,
    seeded: z.boolean(),
    run: z.string().nullable(),
    message: z.string().exactOptional(),
  }),
  event('warning', { message: z.string(), hint: z.string() }),
  event('run-finished', {
    status: z.enum(['finished', 'paused', 'cancelled', 'interrupted', 'failed']),
    seconds: number,
    message: z.string().exactOptional(),
  }),
]) satisfies z.ZodType<RunEvent>;
