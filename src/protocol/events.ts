/**
 * Everything a run can report. The engine yields these, the worker forwards them, and each line of a run's
 * `events.jsonl` is one of them as JSON.
 */
import type { TaskScores } from './task-scores.ts';

export const PHASE_NAMES = [
  'download',
  'load',
  'scan',
  'tokenize',
  'prepare',
  'preserve-check',
  'generate',
  'train',
  'learn',
  'fuse',
  'round',
  'evaluate',
  'statistics',
  'export',
] as const;
export type PhaseName = (typeof PHASE_NAMES)[number];

export type Variant = 'full-precision' | 'quantized';
export type JobKind = 'optimize' | 'evaluate' | 'inspect' | 'generate' | 'export';
export type FinishedStatus = 'finished' | 'paused' | 'cancelled' | 'interrupted' | 'failed';

interface Timed {
  /** ISO 8601, UTC. */
  readonly time: string;
}

export interface RunStarted extends Timed {
  readonly type: 'run-started';
  readonly job: JobKind;
  /** Absolute path of the run folder, or null when nothing is kept. */
  readonly run: string | null;
  /** Setting, such as `W4A4KV4`; of a whole table `Table of 4-8-16, 4-4-4`. */
  readonly bits: string;
  /** The runtime for people: `onnxruntime 1.30.0, native kernels avx512, 2 threads`. */
  readonly runtime: string;
  /** The step that a resumed run goes on from; 0 for a new one. */
  readonly resumedFromStep: number;
}

export interface PhaseEvent extends Timed {
  readonly type: 'phase';
  readonly phase: PhaseName;
  readonly state: 'started' | 'finished';
  /** The particulars, for people: a file, a variant, the Hadamard construction used. */
  readonly detail?: string;
  /** Duration, when finished. */
  readonly seconds?: number;
}

/** The progress of downloading what an experiment names on the Hub. */
export interface DownloadProgressEvent extends Timed {
  readonly type: 'download-progress';
  /** The repository, as an experiment names it. */
  readonly name: string;
  /** The file that is under way, by its path in the repository. */
  readonly file: string;
  /** Of all files that are downloaded together. */
  readonly bytesDone: number;
  readonly bytes: number;
}

/** The progress of making a model folder of another file. */
export interface ImportProgressEvent extends Timed {
  readonly type: 'import-progress';
  readonly tensorsDone: number;
  readonly tensors: number;
  /** Of the weights as they are written. */
  readonly bytesDone: number;
  readonly bytes: number;
}

/** Full-precision logits before against after a change that must preserve the function. */
export interface PreservationEvent extends Timed {
  readonly type: 'preservation';
  /** Which change: `gains folded`, `R1`, `R1 R2 R3 R4`. */
  readonly where: string;
  /** max |logit after − logit before|. */
  readonly maxLogitDifference: number;
  /** The same, divided by the largest |logit| before. */
  readonly relative: number;
  /** The largest relative difference that rounding explains. */
  readonly tolerance: number;
}

export interface StepEvent extends Timed {
  readonly type: 'step';
  /** Optimizer steps done, from 1. */
  readonly step: number;
  readonly of: number;
  /** Before the step: with cross-entropy the mean negative log-likelihood over the tokens of the batch, in nats. */
  readonly loss: number;
  /** Global norm over all rotations, before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Largest step the Cayley iteration allows, 1 / ‖W‖₁: of R1, and the largest over all R2; null where not learned. */
  readonly stepCap: { readonly r1: number | null; readonly r2Max: number | null };
  /** max |RᵀR − I| over all rotations, after the step. */
  readonly orthogonalityError: number;
  /** ‖R − R_start‖_F / ‖R_start‖_F: of R1, and the mean over all R2; null where not learned. */
  readonly distanceFromStart: { readonly r1: number | null; readonly r2: number | null };
  /** Duration of this step. */
  readonly seconds: number;
  /** Tokens predicted in this step. */
  readonly tokens: number;
}

export interface CheckpointEvent extends Timed {
  readonly type: 'checkpoint';
  /** Steps that the checkpoint holds. */
  readonly step: number;
}

/** The progress of a method that trains the weights: of the text that it writes, or of the training. */
export interface TrainingProgressEvent extends Timed {
  readonly type: 'training-progress';
  /** Name of the method, as in an experiment. */
  readonly method: string;
  readonly work: 'generate' | 'train';
  /** Sequences that are written, or optimizer steps that are done. */
  readonly done: number;
  readonly of: number;
  /** Before the step: KL(full precision ‖ quantized), the mean over the tokens of the batch, in nats; null while text is written. */
  readonly loss: number | null;
}

/** The strength that a search found for the scales of one seam of a layer. */
export interface ScalingChoice {
  /** `attention-norm` or `mlp-norm`. */
  readonly seam: string;
  readonly alpha: number;
  /** Of the layer's output, quantized, on the calibration text: Σ‖ŷ − y‖² / Σ‖y‖². */
  readonly error: number;
}

/** The scales of one layer's channels were searched. */
export interface ScalingEvent extends Timed {
  readonly type: 'scaling';
  /** Name of the method, as in an experiment: `smoothquant`. */
  readonly method: string;
  /** From 0. */
  readonly layer: number;
  readonly layers: number;
  /** In the order of the search: each error is with the choices before it. */
  readonly choices: readonly ScalingChoice[];
  readonly seconds: number;
}

/** The progress of a method that scales the weights, or rounds them. */
export interface RoundingProgressEvent extends Timed {
  readonly type: 'rounding-progress';
  /** Name of the method, as in an experiment: `gptq`. */
  readonly method: string;
  readonly layersDone: number;
  readonly layers: number;
  /** Share of all work that is done, 0 to 1. */
  readonly done: number;
  /** What a method that learns makes smaller, a mean over the present pass; absent for others. */
  readonly loss?: number;
}

/** The error that rounding leaves in the output of one linear layer on the calibration text: Σ‖x (Q(W) − W)ᵀ‖² / Σ‖x Wᵀ‖². */
export interface RoundingError {
  /** `q`, `k`, `v`, `o`, `gate`, `up` or `down`. */
  readonly linear: string;
  /** By the method of the event. */
  readonly error: number;
  /** The same weights and scales, rounded to nearest. */
  readonly nearest: number;
}

/** The weights of one layer were rounded. */
export interface RoundingEvent extends Timed {
  readonly type: 'rounding';
  /** Name of the method, as in an experiment: `gptq`. */
  readonly method: string;
  /** From 0. */
  readonly layer: number;
  readonly layers: number;
  readonly errors: readonly RoundingError[];
  readonly seconds: number;
  /** What a weight takes on average, all that decodes it included; absent where grids say it. */
  readonly bitsPerWeight?: number | undefined;
}

export interface EvaluationProgressEvent extends Timed {
  readonly type: 'evaluation-progress';
  readonly name: string;
  readonly variant: Variant;
  readonly windowsDone: number;
  readonly windows: number;
  readonly runningPerplexity: number;
}

export interface EvaluationEvent extends Timed {
  readonly type: 'evaluation';
  readonly name: string;
  readonly variant: Variant;
  /** Infinite where the mean loss is above 709.78: JSON writes null. */
  readonly perplexity: number;
  /** In nats per token; absent in logs of earlier versions. */
  readonly meanLoss?: number;
  readonly windows: number;
  /** Tokens predicted. */
  readonly tokens: number;
  readonly seconds: number;
}

/** The progress of a zero-shot task. */
export interface TaskProgressEvent extends Timed {
  readonly type: 'task-progress';
  /** Name of the task, as in an experiment: `piqa`. */
  readonly task: string;
  readonly variant: Variant;
  readonly questionsDone: number;
  readonly questions: number;
  /** Share of right answers so far, 0 to 1, by `acc`. */
  readonly runningAccuracy: number;
}

/** A zero-shot task was measured. */
export interface TaskEvent extends Timed {
  readonly type: 'task';
  readonly task: string;
  readonly variant: Variant;
  readonly scores: TaskScores;
  readonly questions: number;
  /** The limit of the experiment; null where all questions were asked. */
  readonly limit: number | null;
  readonly seconds: number;
}

/** Activation statistics were written. */
export interface StatisticsEvent extends Timed {
  readonly type: 'statistics';
  /** Path of `activations.json`. */
  readonly file: string;
  readonly layers: number;
  readonly sites: number;
  readonly seconds: number;
}

/** A cell of a matrix: it is not written into the run of the cell. */
export interface CellEvent extends Timed {
  readonly type: 'cell';
  /** `kept` was computed before, `empty` cannot be. */
  readonly state: 'kept' | 'started' | 'finished' | 'failed' | 'empty' | 'busy';
  /** From 1. */
  readonly cell: number;
  readonly cells: number;
  /** Setting, such as `4-4-16`. */
  readonly bits: string;
  /** Name of the row. */
  readonly method: string;
  /** Name of the row in tables. */
  readonly title: string;
  readonly seed: number;
  /** True where other seeds may give other numbers. */
  readonly seeded: boolean;
  /** Absolute path of its run; null where there is none. */
  readonly run: string | null;
  /** Why it has no numbers. */
  readonly message?: string;
}

/** Jobs were handed to a cluster: it is not written into a run, nor is {@link QueueEvent}. */
export interface SubmittedEvent extends Timed {
  readonly type: 'submitted';
  /** Number of the array of jobs. */
  readonly job: number;
  readonly tasks: number;
  /** Tasks that run at once. */
  readonly limit: number;
}

/** How the jobs of a table stand in the queue of a cluster. */
export interface QueueEvent extends Timed {
  readonly type: 'queue';
  readonly running: number;
  readonly pending: number;
  /** Why jobs wait, in the scheduler's words: `Resources`, `JobArrayTaskLimit`. */
  readonly reasons: readonly string[];
  /** Cells of the table, and those that have their numbers or get none. */
  readonly cells: number;
  readonly settled: number;
}

export interface WarningEvent extends Timed {
  readonly type: 'warning';
  readonly message: string;
  readonly hint: string;
}

export interface RunFinished extends Timed {
  readonly type: 'run-finished';
  readonly status: FinishedStatus;
  readonly seconds: number;
  /** Why it failed; absent otherwise. */
  readonly message?: string;
}

export type RunEvent =
  | RunStarted
  | PhaseEvent
  | DownloadProgressEvent
  | ImportProgressEvent
  | PreservationEvent
  | StepEvent
  | CheckpointEvent
  | ScalingEvent
  | TrainingProgressEvent
  | RoundingProgressEvent
  | RoundingEvent
  | EvaluationProgressEvent
  | EvaluationEvent
  | TaskProgressEvent
  | TaskEvent
  | StatisticsEvent
  | CellEvent
  | SubmittedEvent
  | QueueEvent
  | WarningEvent
  | RunFinished;

type Untimed<Event> = Event extends RunEvent ? Omit<Event, 'time'> : never;

/** Stamps an event with the present time. */
export function timed<E extends Untimed<RunEvent>>(event: E): E & { readonly time: string } {
  return { ...event, time: new Date().toISOString() };
}
