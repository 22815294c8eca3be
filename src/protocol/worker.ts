/**
 * The contract between the worker process and whoever drives it: method → parameters and result, over JSON-RPC on the
 * child process's own channel. Facts only; tensors, events and results lie in the run folder.
 */
import type { ComparisonEvent } from './comparison.ts';
import type { RunEvent } from './events.ts';
import type { ExportTarget, ModelFormatName, TableBits } from './export-formats.ts';
import type { CheckpointSettings, OnnxPlanSettings, PlannedExport } from './export-plan.ts';

/** Raised whenever a message changes its shape: worker and host of different versions refuse each other. */
export const WORKER_PROTOCOL = 10;

export interface HandshakeParams {
  readonly protocol: number;
}

/** Answered without loading ONNX Runtime or a model. */
export interface Handshake {
  readonly protocol: number;
  /** Version of the product that the worker was built from. */
  readonly product: string;
  /** Version of onnxruntime-node beside the worker; null when it is not there. */
  readonly ort: string | null;
  /** Custom operators: `native avx512`, or `composed` of standard ones. */
  readonly kernels: string;
  readonly node: string;
  /** Such as `linux-x64`. */
  readonly platform: string;
  readonly pid: number;
  /** The obstacle to running experiments; null when there is none. */
  readonly problem: { readonly message: string; readonly hint: string } | null;
}

/** Stand in for what an experiment file leaves at its default; null leaves that default. */
export interface ExperimentOverrides {
  readonly device: 'cpu' | 'webgpu' | 'cuda' | null;
  readonly threads: number | null;
  /** Folder for runs, absolute or relative to the experiment file. */
  readonly runs: string | null;
}

interface JobParams {
  /** Names the job in `event` notifications and in `pause`. */
  readonly job: string;
  /** Absolute path of the experiment file. */
  readonly experiment: string;
  readonly overrides: ExperimentOverrides;
}

export interface OptimizeParams extends JobParams {
  /** Absolute path of a stopped run to go on with, by the experiment that it keeps; null for a new run. */
  readonly resumeFrom: string | null;
  /** Takes that run from a process that is, or may be, at work on it. */
  readonly takeOver: boolean;
}

export interface MeasureParams extends JobParams {
  /** Run folder with the learned rotations; null takes the newest of this experiment. */
  readonly run: string | null;
  /** R1 to R4 off: what rounding alone gives. */
  readonly withoutRotations: boolean;
}

export interface AttributeParams extends JobParams {
  /** Run folder whose rotations and rounded weights serve; null takes the rotations that learning starts from. */
  readonly run: string | null;
  /** True for the settings that the run keeps, false for those of the file. */
  readonly ownSettings: boolean;
  /** Each rounding is also switched by itself. */
  readonly exact: boolean;
  /** Perplexity is measured against average bits. */
  readonly curve: boolean;
}

export interface JobResult {
  /** Absolute path of the run folder that holds what was found; of a matrix, that of full precision. */
  readonly run: string;
}

export interface CheckParams {
  /** Text of an experiment file, saved or not. */
  readonly text: string;
  /** Absolute path of that file. */
  readonly file: string;
}

export interface EstimateParams extends CheckParams {
  /** Names the estimate, which can be cancelled. */
  readonly job: string;
  readonly overrides: ExperimentOverrides;
}

/** What a job is expected to take on this machine. */
export interface EstimateResult {
  readonly seconds: number;
  /** Of the worker at its largest, mapped weights included; null where it is not known. */
  readonly peakBytes: number | null;
}

export interface ImportModelParams {
  /** Names the job in `event` notifications. */
  readonly job: string;
  /** Absolute path of a GGUF file or of a llama2.c checkpoint. */
  readonly source: string;
  /** Absolute path of the tokenizer of a llama2.c checkpoint; null for a GGUF file. */
  readonly tokenizer: string | null;
  /** Absolute path of the folder to make. */
  readonly out: string;
}

export interface ImportModelResult {
  /** Absolute path of the model folder. */
  readonly dir: string;
  readonly parameters: number;
  /** What the file leaves open, in a sentence each. */
  readonly warnings: readonly string[];
}

export interface DownloadParams {
  /** Names the job in `event` notifications. */
  readonly job: string;
  /** A model or a data set, as an experiment names it. */
  readonly name: string;
}

export interface DownloadResult {
  /** The folder of the model in the cache, or the files of the data set. */
  readonly files: readonly string[];
}

/** A fault that only shows against the model. */
export interface ModelFault {
  readonly severity: 'error' | 'warning';
  readonly code: string;
  /** Path in the JSON text. */
  readonly path: readonly (string | number)[];
  /** Offset and length in UTF-16 units; line and column from 1. */
  readonly range: {
    readonly offset: number;
    readonly length: number;
    readonly line: number;
    readonly column: number;
  };
  readonly message: string;
  readonly hint: string;
  /** A value that mends it, and where. */
  readonly suggestion?: {
    readonly path: readonly (string | number)[];
    readonly value: string | number | boolean | null;
  };
}

/** The facts of a model that the layer tree needs before anything ran. */
export interface ModelOutline {
  readonly architecture: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly headDim: number;
  readonly intermediateSize: number;
}

export interface CheckResult {
  readonly faults: readonly ModelFault[];
  /** Null when the experiment names no model, or it cannot be read. */
  readonly model: ModelOutline | null;
}

/** Why cells of a matrix stay empty, by the keys of the cells. */
export type CellReasons = Readonly<Record<string, string>>;

export interface ExportParams {
  /** Absolute path of the run folder. */
  readonly run: string;
  /** Name of a format in `export-formats.ts`. */
  readonly format: string;
  /** Absolute path of the file to write. */
  readonly out: string;
}

export interface ExportResult {
  /** Names of the tensors written. */
  readonly tensors: readonly string[];
}

export interface ExportModelParams {
  /** Names the job in `event` notifications. */
  readonly job: string;
  /** Absolute path of the run folder. */
  readonly run: string;
  readonly format: ModelFormatName;
  readonly target: ExportTarget;
  /** Absolute path of the folder to make. */
  readonly out: string;
  readonly embeddings: TableBits;
  readonly head: TableBits;
}

export interface ExportModelResult {
  /** Bytes of all files. */
  readonly bytes: number;
  /** What the model does otherwise than the run, in a sentence each. */
  readonly notes: readonly string[];
}

/** What becomes of a run in a checkpoint of others. */
export interface PlanExportParams {
  /** Names the job in `event` notifications. */
  readonly job: string;
  /** Absolute path of the run folder. */
  readonly run: string;
  readonly settings: CheckpointSettings | OnnxPlanSettings;
  /** True computes a few windows as the run and as the target do. */
  readonly measure: boolean;
}

export interface ExportCheckpointParams {
  /** Names the job in `event` notifications. */
  readonly job: string;
  /** Absolute path of the run folder. */
  readonly run: string;
  readonly settings: CheckpointSettings;
  /** Absolute path of the folder to make. */
  readonly out: string;
}

export interface SweepParams {
  /** Absolute path of a folder of runs. */
  readonly runs: string;
  /** False only lists. */
  readonly deletes: boolean;
}

/** Shared results that no run uses: what there is, or what there was before it was deleted. */
export interface SweepResult {
  readonly unused: readonly {
    /** Name of the step that made it; null where it did not end. */
    readonly step: string | null;
    readonly bytes: number;
    /** True where a process may be at work on it: it stays. */
    readonly isFresh: boolean;
  }[];
  /** Folders of runs that may use anything. While there are some, nothing is deleted. */
  readonly unknown: readonly string[];
}

export interface CompareParams {
  /** Names the comparison in `compared` notifications. */
  readonly job: string;
  /** Absolute paths of run folders, at least one, all of one model. */
  readonly runs: readonly string[];
  readonly prompt: string;
  /** Tokens that each network writes at most. */
  readonly tokens: number;
  /** 0 takes the most likely token. */
  readonly temperature: number;
  /** 0: all tokens. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly seed: number;
  /** Texts end before it; empty for none. */
  readonly stop: string;
  /** True where the prompt is written by the model's chat template. */
  readonly chat: boolean;
  /** It replaces the runs' own; null leaves them. */
  readonly device: ExperimentOverrides['device'];
}

export interface WorkerRequests {
  readonly handshake: { readonly params: HandshakeParams; readonly result: Handshake };
  readonly optimize: { readonly params: OptimizeParams; readonly result: JobResult };
  readonly evaluate: { readonly params: MeasureParams; readonly result: JobResult };
  readonly inspect: { readonly params: MeasureParams; readonly result: JobResult };
  readonly attribute: { readonly params: AttributeParams; readonly result: JobResult };
  readonly export: { readonly params: ExportParams; readonly result: ExportResult };
  readonly exportModel: { readonly params: ExportModelParams; readonly result: ExportModelResult };
  readonly importModel: { readonly params: ImportModelParams; readonly result: ImportModelResult };
  readonly download: { readonly params: DownloadParams; readonly result: DownloadResult };
  /** Null where the experiment, or its model, has faults or is not there. */
  readonly estimate: { readonly params: EstimateParams; readonly result: EstimateResult | null };
  readonly planExport: { readonly params: PlanExportParams; readonly result: PlannedExport };
  readonly exportCheckpoint: { readonly params: ExportCheckpointParams; readonly result: ExportModelResult };
  readonly check: { readonly params: CheckParams; readonly result: CheckResult };
  /** Of a matrix that is sound by itself; none where its model is not there. */
  readonly obstacles: { readonly params: CheckParams; readonly result: CellReasons };
  /** Ends as cancelled where it is; what was told before holds. */
  readonly compare: { readonly params: CompareParams; readonly result: null };
  readonly sweep: { readonly params: SweepParams; readonly result: SweepResult };
  /** Stops a job after the present step; its request then ends as cancelled. */
  readonly pause: { readonly params: { readonly job: string }; readonly result: null };
  /** The worker ends itself once it has answered. */
  readonly shutdown: { readonly params: Readonly<Record<string, never>>; readonly result: null };
}

export type WorkerMethod = keyof WorkerRequests;

/** A notification from the worker: something happened in a job. */
export const EVENT_NOTIFICATION = 'event';
export interface EventNotification {
  readonly job: string;
  readonly event: RunEvent;
}

/** The other one: what happened in a comparison since the last, at most twenty times a second. */
export const COMPARED_NOTIFICATION = 'compared';
export interface ComparedNotification {
  readonly job: string;
  readonly events: readonly (RunEvent | ComparisonEvent)[];
}

/** `data` of an error reply. The message is that of the reply. */
export interface WorkerErrorData {
  /** `user`: a fault the person can mend. `bug`: ours, with its stack in the log. */
  readonly kind: 'user' | 'cancelled' | 'bug';
  readonly code: string;
  readonly hint: string;
}

/** Error codes of JSON-RPC: the application's own, and that of a cancelled request. */
export const WORKER_ERROR = -32_000;
export const REQUEST_CANCELLED = -32_800;

export function isWorkerErrorData(value: unknown): value is WorkerErrorData {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, code, hint } = value as Partial<Record<string, unknown>>;
  return (
    (kind === 'user' || kind === 'cancelled' || kind === 'bug') &&
    typeof code === 'string' &&
    typeof hint === 'string'
  );
}
