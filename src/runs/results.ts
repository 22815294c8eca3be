/** The types of `results.json`. */

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
