/** `results.json` holds what a run found. */
import { z } from 'zod';
import { measuredNumber } from './numbers.ts';

export interface PerplexityResult {
  /** The text's name in evaluation.perplexity. */
  readonly name: string;
  /** The perplexity of the original network; null when not measured. */
  readonly fullPrecision: number | null;
  /** The perplexity with this experiment's rotations and quantizers; null when not measured. */
  readonly quantized: number | null;
  readonly windows: number;
  /** Number of predicted tokens. */
  readonly tokens: number;
}

/** The training loss is in nats per token. */
export interface LossSummary {
  readonly first: number;
  readonly last: number;
}

export interface ResultsFile {
  readonly version: 1;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** It is null where nothing was learned. */
  readonly loss: LossSummary | null;
  /** max |RᵀR − I| over the rotations; null without rotations. */
  readonly orthogonalityError: number | null;
  readonly steps: number;
  readonly perplexity: readonly PerplexityResult[];
  /** Seconds of each phase, by name. */
  readonly seconds: Readonly<Record<string, number>>;
  /** The newest measurement ended then, ISO 8601 in UTC; null in files of earlier versions. */
  readonly measuredAt: string | null;
}

/** Writers leave out the time, which is set on writing. */
export type NewResults = Omit<ResultsFile, 'measuredAt'>;

const count = z.int().min(0);

/** What is read from the disk. Keys of later versions stay, for a file is also read to be written again. */
export const resultsSchema = z.looseObject({
  version: z.literal(1),
  bits: z.string(),
  loss: z.object({ first: measuredNumber, last: measuredNumber }).nullable(),
  orthogonalityError: z.number().nullable(),
  steps: count,
  perplexity: z.array(
    z.looseObject({
      name: z.string(),
      fullPrecision: z.number().nullable(),
      quantized: z.number().nullable(),
      windows: count,
      tokens: count,
    }),
  ),
  seconds: z.record(z.string(), z.number()),
  measuredAt: z.string().nullable().default(null),
}) satisfies z.ZodType<ResultsFile>;
