/** Requests of a front door, and the documents that answer them. */
import type { Variant } from '../../protocol/events.ts';
import type { ActivationsFile } from '../../runs/activations.ts';
import type { AttributionFile } from '../../runs/attribution.ts';
import type { KeyOffsetChoice } from '../../runs/key-offset.ts';
import type { AverageBits, LossSummary, PerplexityResult, RotationsOf } from '../../runs/results.ts';
import type { Run } from '../../runs/run.ts';
import type { TaskResult } from '../../runs/task-results.ts';
import type { Ranks } from '../distributed/ranks.ts';
import type { Products } from '../network/packed-weights.ts';
import type { RuntimeDevice } from '../runtime/types.ts';

export type { LossSummary, PerplexityResult } from '../../runs/results.ts';

export interface EngineOptions {
  /** Stops the work within milliseconds; the engine then throws `Cancelled`. */
  readonly signal?: AbortSignal | undefined;
  /** Source of the custom operators; `auto` (default) is native when it is built. */
  readonly kernels?: 'auto' | 'native' | 'composed' | undefined;
  /** Processes that do the same work, each on its part of the text; absent for one alone. */
  readonly ranks?: Ranks | undefined;
}

export interface OptimizeOptions extends EngineOptions {
  /** A run folder to go on from its checkpoint. */
  readonly resumeFrom?: string | undefined;
  /** Takes that run from a process that is, or may be, at work on it. */
  readonly takeOver?: boolean | undefined;
}

interface MeasureOptions extends EngineOptions {
  /** A run folder made for this measurement: its record keeps where the numbers come from. */
  readonly record?: Run | undefined;
}

/** Asks for products of whole numbers in the deployed network, as far as its quantizers allow, or for none. */
export interface IntegerOptions {
  /** Where absent, the faster products are taken; both are of the same codes. @throws UserError `integer/no-kernels` where our operators have no kernels. */
  readonly integer?: boolean | undefined;
}

export interface EvaluateOptions extends MeasureOptions, IntegerOptions {
  /** A run folder whose rounded weights serve. */
  readonly weights?: string | undefined;
  /** Rotations (`rotations.safetensors`, or a run folder) to use for those marked learned. */
  readonly rotations?: string | undefined;
  /** A run folder that the results are added to. */
  readonly runDir?: string | undefined;
  /** Variants to measure; both by default. */
  readonly variants?: readonly Variant[] | undefined;
}

export interface InspectOptions extends MeasureOptions {
  readonly rotations?: string | undefined;
  /** A run folder that the statistics are written to. */
  readonly runDir?: string | undefined;
}

export interface AttributeOptions extends InspectOptions {
  /** A run folder whose rounded weights serve. */
  readonly weights?: string | undefined;
  /** Tokens of the calibration text that are predicted, in whole sequences. */
  readonly tokens?: number | undefined;
  /** True where perplexity is measured against average bits, without the exceptions of the experiment. */
  readonly curve?: boolean | undefined;
  /** True where each rounding is also measured by switching it. */
  readonly exact?: boolean | undefined;
}

/** The document of `attribute --json`, with the folder of the run that keeps it. */
export interface KeptAttribution extends AttributionFile {
  /** Absolute path. */
  readonly run: string;
}

/** The document of `optimize --json`. */
export interface OptimizeResult {
  /** Absolute path of the run folder. */
  readonly run: string;
  /** Training loss at the first and the last step, in nats per token. */
  readonly loss: LossSummary;
  /** max |RᵀR − I| over the rotations written, in float64. */
  readonly orthogonalityError: number;
  /** max |RRᵀ − I|, likewise. */
  readonly rowOrthogonalityError: number;
  readonly steps: number;
  readonly perplexity: readonly PerplexityResult[];
  readonly tasks: readonly TaskResult[];
  /** The device that computed it. */
  readonly device: RuntimeDevice;
}

/** The document of `evaluate --json`. */
export interface EvaluateResult {
  readonly perplexity: readonly PerplexityResult[];
  readonly tasks: readonly TaskResult[];
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** Present where some places have other bits than the rest. */
  readonly averageBits?: AverageBits | undefined;
  /** The run that learned the rotations; null where none were. */
  readonly rotationsOf: RotationsOf | null;
  /** Products of the quantized network that were of whole numbers, and the others; null where it was simulated. */
  readonly products: Products | null;
  /** What the calibration text chose for the keys; absent where it was not asked. */
  readonly keyOffset?: KeyOffsetChoice | undefined;
  /** The device that computed it. */
  readonly device: RuntimeDevice;
}

/** The document of `evaluate --keep --json`. */
export interface KeptEvaluation extends EvaluateResult {
  /** Absolute path of the run folder that holds the results. */
  readonly run: string;
}

/** The document of `inspect --json`: the contents of `activations.json`. */
export type InspectResult = ActivationsFile;
