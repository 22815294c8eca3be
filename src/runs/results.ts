/** `results.json` holds what a run found. */
import { z } from 'zod';
import type { Linear } from '../protocol/block.ts';
import { type MeanLoss, measuredPerplexity } from '../protocol/perplexity.ts';
import { EVALUATION_PRECISIONS, type MeasuredAt } from '../protocol/precision.ts';
import { type KeyOffsetChoice, keyOffsetSchema } from './key-offset.ts';
import { measuredNumber } from './numbers.ts';
import { linearsSchema, type TaskResult, taskResultSchema } from './task-results.ts';

export interface PerplexityResult extends MeasuredAt {
  /** The text's name in evaluation.perplexity. */
  readonly name: string;
  /**
   * The perplexity of the original network; null when not measured. It is infinite where its mean loss is above 709.78:
   * the file then has null and the mean loss.
   */
  readonly fullPrecision: number | null;
  /** The perplexity with this experiment's rotations and quantizers; null and infinite as above. */
  readonly quantized: number | null;
  /** Absent in files of earlier versions. */
  readonly meanLoss?: MeanLoss | undefined;
  /**
   * Linear layers of the quantized network whose products were of whole numbers, as they are deployed. Absent where all
   * were simulated.
   */
  readonly integer?: readonly Linear[] | undefined;
  readonly windows: number;
  /** Number of predicted tokens. */
  readonly tokens: number;
}

/** The training loss is in nats per token. */
export interface LossSummary {
  readonly first: number;
  readonly last: number;
}

/** The origin of the rotations that a run was measured with. */
export interface RotationsOf {
  /** The id of the run that learned them; null for a file that is of no run. */
  readonly run: string | null;
  /** `rotation.seed` of their start; null where the file does not tell it. */
  readonly seed: number | null;
}

/** Average bits of what a token's multiplications multiply. */
export interface AverageBits {
  readonly mixed: number;
  /** The same without the exceptions. */
  readonly uniform: number;
}

export interface ResultsFile {
  readonly version: 1;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** It is null where nothing was learned. */
  readonly loss: LossSummary | null;
  /** max |RᵀR − I| over the rotations; null without rotations. */
  readonly orthogonalityError: number | null;
  /** max |RRᵀ − I|, likewise; absent without rotations, and in files of earlier versions. */
  readonly rowOrthogonalityError?: number | undefined;
  readonly steps: number;
  readonly perplexity: readonly PerplexityResult[];
  /** Absent where none were measured, and in files of earlier versions. */
  readonly tasks?: readonly TaskResult[] | undefined;
  /** Seconds of each phase, by name. */
  readonly seconds: Readonly<Record<string, number>>;
  /**
   * The largest resident size of the process while the run was made, or since it went on, mapped weights included. Of a
   * cell of a table: in any of its steps, also those that another cell ran. Absent in files of earlier versions.
   */
  readonly peakBytes?: number | undefined;
  /** Present where some places have other bits than the rest. */
  readonly averageBits?: AverageBits | undefined;
  /** Present where the run measured rotations that another run learned. */
  readonly rotationsOf?: RotationsOf | undefined;
  /** Present where the calibration text chose whether keys are quantized without their mean. */
  readonly keyOffset?: KeyOffsetChoice | undefined;
  /** The newest measurement ended then, ISO 8601 in UTC; null in files of earlier versions. */
  readonly measuredAt: string | null;
}

/** Writers leave out the time, which is set on writing. */
export type NewResults = Omit<ResultsFile, 'measuredAt'>;

const count = z.int().min(0);
const perplexity = z.number().nullable();

const perplexitySchema = z
  .looseObject({
    name: z.string(),
    fullPrecision: perplexity,
    quantized: perplexity,
    meanLoss: z.object({ fullPrecision: perplexity, quantized: perplexity }).optional(),
    integer: linearsSchema.optional(),
    precision: z.enum(EVALUATION_PRECISIONS).optional(),
    windows: count,
    tokens: count,
  })
  .transform((result) => ({
    ...result,
    fullPrecision: measuredPerplexity(result.fullPrecision, result.meanLoss?.fullPrecision),
    quantized: measuredPerplexity(result.quantized, result.meanLoss?.quantized),
  }));

/** Perplexities as they are read from the disk. */
export const perplexitiesSchema = z.array(perplexitySchema) satisfies z.ZodType<PerplexityResult[]>;

/** What is read from the disk. Keys of later versions stay, for a file is also read to be written again. */
export const resultsSchema = z.looseObject({
  version: z.literal(1),
  bits: z.string(),
  loss: z.object({ first: measuredNumber, last: measuredNumber }).nullable(),
  orthogonalityError: z.number().nullable(),
  rowOrthogonalityError: z.number().optional(),
  steps: count,
  perplexity: perplexitiesSchema,
  tasks: z.array(taskResultSchema).optional(),
  seconds: z.record(z.string(), z.number()),
  peakBytes: z.number().optional(),
  averageBits: z.object({ mixed: z.number(), uniform: z.number() }).optional(),
  rotationsOf: z.object({ run: z.string().nullable(), seed: z.int().nullable() }).optional(),
  keyOffset: keyOffsetSchema.optional(),
  measuredAt: z.string().nullable().default(null),
}) satisfies z.ZodType<ResultsFile>;
