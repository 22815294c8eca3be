/** Contract of the training panel: is it learning, and when is it done? */
import { z } from 'zod';
import type { MeanLoss } from '../perplexity.ts';
import {
  beginSchema,
  type Notice,
  type Problem,
  pictureSchema,
  type RunName,
  type RunState,
  readySchema,
  runDirSchema,
  valuesSchema,
} from './common.ts';
import { SMOOTHING } from './training-limits.ts';
import type { TrainingStrings } from './training-strings.ts';

export type Objective = 'cross-entropy' | 'kl-top' | 'peak' | 'range' | 'whip' | 'kurtosis' | 'procrustes';

export type VerdictKind = 'too-early' | 'unclear' | 'converging' | 'settled' | 'stalled' | 'diverging';

export interface VerdictText {
  readonly kind: VerdictKind;
  /** One word. */
  readonly word: string;
  /** Why, in one sentence. */
  readonly reason: string;
}

/** One row per optimizer step, as columns of equal length. Null: not learned, or not a finite number. */
export interface StepColumns {
  readonly step: readonly number[];
  /** Nats per token with cross-entropy and kl-top; else the objective's own value. */
  readonly loss: readonly (number | null)[];
  /** Mean of the loss over the last steps, as many as the smoothing says; null where there are fewer than three. */
  readonly trend: readonly (number | null)[];
  /** Seconds of all steps up to this one. */
  readonly elapsed: readonly (number | null)[];
  /** Before clipping. */
  readonly gradientNorm: readonly (number | null)[];
  readonly learningRate: readonly (number | null)[];
  /** 1 / ‖W‖₁ of R1, and the largest over all R2. */
  readonly stepCapR1: readonly (number | null)[];
  readonly stepCapR2: readonly (number | null)[];
  /** max |RᵀR − I|. */
  readonly orthogonalityError: readonly (number | null)[];
  /** ‖R − R_start‖_F / ‖R_start‖_F of R1, and the mean over all R2. */
  readonly distanceR1: readonly (number | null)[];
  readonly distanceR2: readonly (number | null)[];
  readonly seconds: readonly (number | null)[];
}

/** Relative squared errors of the outputs of one kind of linear layer, by layer. Null: not a finite number. */
export interface LinearErrors {
  /** `q`, `k`, `v`, `o`, `gate`, `up` or `down`. */
  readonly name: string;
  /** Rounded by the method of the run. */
  readonly error: readonly (number | null)[];
  /** The same weights and scales, rounded to nearest. */
  readonly nearest: readonly (number | null)[];
}

/** Errors that rounding the weights left in the outputs of the linear layers on the calibration text. */
export interface RoundingErrors {
  /** Title of the method: `GPTQ`. */
  readonly method: string;
  /** Layers of the model; the last ones may still be to come. */
  readonly layers: number;
  /** Layers rounded, from 0, ascending: one row each of the columns. */
  readonly layer: readonly number[];
  readonly linears: readonly LinearErrors[];
}

export interface RunCurves {
  readonly dir: string;
  readonly name: string;
  /** Letter that stands at the end of the run's lines. */
  readonly mark: string;
  /** Steps the run is to make. */
  readonly of: number;
  /** Largest gradient norm allowed; null without clipping. */
  readonly gradientClip: number | null;
  /** What was made small: `cross-entropy`. Losses of two objectives have nothing in common. */
  readonly objective: Objective;
  /** Steps by the Cayley transform, which have a cap; else by Adam. */
  readonly cayley: boolean;
  /** Rows that stay as the page has them; what follows comes with this state. */
  readonly kept: number;
  /** In a message the rows behind those kept; else all. */
  readonly steps: StepColumns;
}

export interface FinalPerplexity {
  readonly name: string;
  /** Null where it was not measured, and where it is infinite: then there is a mean loss. */
  readonly fullPrecision: number | null;
  readonly quantized: number | null;
  readonly meanLoss: MeanLoss;
}

export interface TrainingRun extends RunName {
  readonly model: string;
  readonly status: RunState;
  /** Waits in the queue. */
  readonly waiting: boolean;
  /** It runs on operators composed of standard ones: native kernels are missing. */
  readonly composed: boolean;
  readonly canPause: boolean;
  readonly canCancel: boolean;
  readonly canResume: boolean;
  /** False for a run that only measures: it has no steps to draw. */
  readonly learns: boolean;
  readonly step: number;
  readonly of: number;
  /** Seconds until the last step; null when nothing is being learned. */
  readonly secondsLeft: number | null;
  readonly verdict: VerdictText;
  /** The present work of the run, when it is not learning. */
  readonly activity: string | null;
  readonly problem: Problem | null;
  /** Warnings and checks of the run, each in a sentence. */
  readonly notes: readonly Note[];
  readonly perplexity: readonly FinalPerplexity[];
  /** Largest |RᵀR − I| of a run that has ended with all rotations exact to rounding; else null. */
  readonly orthogonal: number | null;
}

export interface Note {
  readonly kind: 'passed' | 'warning';
  readonly text: string;
}

/** A run whose lines are laid over those of the run shown. */
export interface Overlay extends RunName {
  /** Letter of its lines. */
  readonly mark: string;
}

export interface TrainingState {
  readonly strings: TrainingStrings;
  /** The panel's choices; the webview keeps them for the serializer. */
  readonly remembered: TrainingMemory;
  /** Null when there is no run. */
  readonly run: TrainingRun | null;
  /** Why there is none, where that is known. */
  readonly notice: Notice | null;
  readonly overlays: readonly Overlay[];
  /** There are other runs with steps, to be added. */
  readonly canAdd: boolean;
  /** The run's own curves, then those of the overlays. */
  readonly curves: readonly RunCurves[];
  /** Errors of the run itself; null where its method did not measure them. */
  readonly rounding: RoundingErrors | null;
}

const smoothing = z.int().min(SMOOTHING.least).max(SMOOTHING.most);

export const trainingMemorySchema = z.strictObject({
  /** Null follows the newest run. */
  run: runDirSchema.nullable(),
  /** The experiment file whose newest run is followed; null for any. */
  experiment: runDirSchema.nullable().default(null),
  overlays: z.array(runDirSchema).max(16),
  /** Steps that the bold line of the loss is a mean of. */
  smoothing: smoothing.default(SMOOTHING.usual),
});
export type TrainingMemory = z.output<typeof trainingMemorySchema>;

export const trainingIntentSchema = z.discriminatedUnion('type', [
  readySchema,
  beginSchema,
  pictureSchema,
  valuesSchema,
  z.strictObject({ type: z.literal('pause'), run: runDirSchema }),
  z.strictObject({ type: z.literal('cancel'), run: runDirSchema }),
  z.strictObject({ type: z.literal('resume'), run: runDirSchema }),
  z.strictObject({ type: z.literal('remove'), run: runDirSchema }),
  z.strictObject({ type: z.literal('add') }),
  z.strictObject({ type: z.literal('smooth'), steps: smoothing }),
  z.strictObject({ type: z.literal('open-experiment'), run: runDirSchema }),
]);
export type TrainingIntent = z.output<typeof trainingIntentSchema>;
