/** The types of `results.json`. */

export interface PerplexityResult {
  /** Name of the text, from evaluation.perplexity. */
  readonly name: string;
  /** Perplexity of the network as it came; null when not measured. */
  readonly fullPrecision: number | null;
  /** Perplexity with this experiment's rotations and quantizers; null when not measured. */
  readonly quantized: number | null;
  readonly windows: number;
  /** Tokens predicted. */
  readonly tokens: number;
}

/** Training loss in nats per token. */
export interface LossSummary {
  readonly first: number;
  readonly last: number;
}

export interface ResultsFile {
  readonly version: 1;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** Null where nothing was learned. */
  readonly loss: LossSummary | null;
  /** max |RᵀR − I| over the rotations; null without rotations. */
  readonly orthogonalityError: number | null;
  readonly steps: number;
  readonly perplexity: readonly PerplexityResult[];
  /** Seconds of each phase, by name. */
  readonly seconds: Readonly<Record<string, number>>;
  /** When the newest of the measurements ended, ISO 8601 in UTC; null in files of versions that did not say. */
  readonly measuredAt: string | null;
}

/** What a writer knows; the time is set as it is written. */
export type NewResults = Omit<ResultsFile, 'measuredAt'>;
