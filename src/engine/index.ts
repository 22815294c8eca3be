/**
 * The only door to the engine. An experiment is loaded and checked; it becomes a plan of steps, each with a key of all
 * that decides its result; the steps whose result is missing are run, and tell what they do as events.
 *
 * Every part is loaded when it is first asked for: a command line that prints its help, and a worker that introduces
 * itself, must not wait for what they do not use.
 */
import type { Purpose, ResolvedExperiment } from '../config/index.ts';
import type { ComparisonEvent } from '../protocol/comparison.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { GenerationEvent } from '../protocol/generation.ts';
import type { SpeedEvent } from '../protocol/speed.ts';
import type { CellReasons, CheckParams, CheckResult } from '../protocol/worker.ts';
import type { Run } from '../runs/index.ts';
import type { Ranks } from './distributed/index.ts';
import type { ImportedModel, ImportModelRequest } from './model/import-model.ts';
import type { ComparisonRequest, ComparisonResult } from './plan/compare-text.ts';
import type { ModelDescription } from './plan/describe-model.ts';
import type { StepDescription } from './plan/describe-plan.ts';
import type { Expected } from './plan/estimate/expected.ts';
import type { ExportCheckpointRequest, ExportCheckpointResult } from './plan/export-checkpoint.ts';
import type { ExportModelRequest, ExportModelResult } from './plan/export-model.ts';
import type { GenerateOptions, GenerateRequest, GenerateResult } from './plan/generate.ts';
import type { MatrixPreview } from './plan/matrix/preview.ts';
import type { MatrixResult } from './plan/matrix/run-matrix.ts';
import type {
  AttributeOptions,
  EngineOptions,
  EvaluateOptions,
  EvaluateResult,
  InspectOptions,
  InspectResult,
  IntegerOptions,
  KeptAttribution,
  KeptEvaluation,
  OptimizeOptions,
  OptimizeResult,
} from './plan/options.ts';
import type { ExportPlan, PlanExportRequest } from './plan/plan-export.ts';
import type { StepsPreview } from './plan/preview-steps.ts';
import type { RankPlace } from './plan/rank-place.ts';
import type { SharedResults } from './plan/shared-results.ts';
import type { Named, Source } from './plan/source.ts';
import type { SpeedResult } from './plan/speed/measure-speed.ts';
import type { SpeedRequest } from './plan/speed/place.ts';
import type { Writer } from './plan/writer.ts';
import type { Runtime, RuntimeOptions } from './runtime/index.ts';

export * from './distributed/index.ts';
export type { DequantizedDType } from './model/import-gguf.ts';
export type { ImportedModel, ImportModelRequest } from './model/import-model.ts';
export * from './plan/cluster/index.ts';
export type { ComparedNetwork, ComparisonRequest, ComparisonResult } from './plan/compare-text.ts';
export type { StepDescription } from './plan/describe-plan.ts';
export type { Expected } from './plan/estimate/expected.ts';
export type {
  ExportCheckpointRequest,
  ExportCheckpointResult,
} from './plan/export-checkpoint.ts';
export type { ExportModelRequest, ExportModelResult } from './plan/export-model.ts';
export type { GenerateOptions, GenerateRequest, GenerateResult } from './plan/generate.ts';
export type { CellPreview, MatrixPreview, StepPreview } from './plan/matrix/preview.ts';
export type { CellResult, MatrixResult } from './plan/matrix/run-matrix.ts';
export type {
  AttributeOptions,
  EngineOptions,
  EvaluateOptions,
  EvaluateResult,
  InspectOptions,
  InspectResult,
  IntegerOptions,
  KeptAttribution,
  KeptEvaluation,
  OptimizeOptions,
  OptimizeResult,
} from './plan/options.ts';
export type { ExportPlan, PlanExportRequest } from './plan/plan-export.ts';
export type { StepsPreview } from './plan/preview-steps.ts';
export type { SharedResult, SharedResults } from './plan/shared-results.ts';
export type { Named, Source } from './plan/source.ts';
export type { SpeedResult } from './plan/speed/measure-speed.ts';
export type { SpeedRequest } from './plan/speed/place.ts';
export type { Writer } from './plan/writer.ts';
export { loadAddon, ortLibraryPath } from './runtime/addon.ts';

/** Where this rank reads and writes. @param runs the folder of runs. */
export async function openRankPlace(ranks: Ranks, runs: string): Promise<RankPlace> {
  return (await import('./plan/rank-place.ts')).RankPlace.open(ranks, runs);
}

/** Reads an experiment file and checks all that can be known before anything runs. @throws ExperimentError. */
export async function loadExperiment(path: string, purpose: Purpose): Promise<ResolvedExperiment> {
  return (await import('./plan/check/load.ts')).loadExperiment(path, purpose);
}

/**
 * Downloads what the job needs and the experiment names on the Hub, as far as it is not in the cache, then checks the
 * experiment against it.
 * @returns the experiment with the warnings of today. @throws ExperimentError, UserError `hub/…`.
 */
export async function* fetchSources(
  experiment: ResolvedExperiment,
  purpose: Purpose,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, ResolvedExperiment> {
  return yield* (await import('./plan/fetch-sources.ts')).fetchSources(experiment, purpose, signal);
}

/** Downloads a model or data set that is named. @returns the folder, or the files of the data set. */
export async function* fetchNamed(
  name: string,
  split: string | null,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, string[]> {
  return yield* (await import('./plan/fetch-sources.ts')).fetchNamed(name, split, signal);
}

/** Finds the faults of an experiment's text that only its model shows, and outlines that model. */
export async function checkExperimentText({ text, file }: CheckParams): Promise<CheckResult> {
  const { parseExperiment } = await import('../config/index.ts');
  const { checkAgainstModel, outlineOf } = await import('./plan/check/check-model.ts');
  const { faults, config } = await checkAgainstModel(parseExperiment(text, file), file, 'edit');
  return { faults, model: config && outlineOf(config) };
}

/** The steps that a job would run, in their order, for people. */
export async function describePlan(
  experiment: ResolvedExperiment,
  purpose: Purpose,
): Promise<StepDescription[]> {
  return (await import('./plan/describe-plan.ts')).describePlan(experiment, purpose);
}

/** The same with the time and the memory that each is expected to take. */
export async function* previewSteps(
  experiment: ResolvedExperiment,
  purpose: Purpose,
  options: EngineOptions,
): AsyncGenerator<RunEvent, StepsPreview> {
  return yield* (await import('./plan/preview-steps.ts')).previewSteps(experiment, purpose, options);
}

/**
 * What optimizing an experiment's text is expected to take, or filling its table, as far as that is not there.
 * @returns null where the text or its model has faults, or the model must be downloaded first.
 */
export async function* estimateText(
  params: CheckParams,
  adapt: (experiment: ResolvedExperiment) => ResolvedExperiment,
  options: EngineOptions,
): AsyncGenerator<RunEvent, Expected | null> {
  return yield* (await import('./plan/estimate/estimate-text.ts')).estimateText(params, adapt, options);
}

/** Learns the rotations marked `learned`, writes a run folder, evaluates. */
export async function* optimizeRotation(
  experiment: ResolvedExperiment,
  options: OptimizeOptions,
): AsyncGenerator<RunEvent, OptimizeResult> {
  return yield* (await import('./plan/optimize.ts')).optimizeRotation(experiment, options);
}

/** Computes the cells of an experiment's matrix that have no numbers yet, each into a run folder of its own. */
export async function* runMatrix(
  experiment: ResolvedExperiment,
  options: OptimizeOptions,
): AsyncGenerator<RunEvent, MatrixResult> {
  return yield* (await import('./plan/matrix/run-matrix.ts')).runMatrix(experiment, options);
}

/** What filling a matrix would do, and what is there already. */
export async function* previewMatrix(
  experiment: ResolvedExperiment,
  options: EngineOptions,
): AsyncGenerator<RunEvent, MatrixPreview> {
  return yield* (await import('./plan/matrix/preview.ts')).previewMatrix(experiment, options);
}

/**
 * Why cells of an experiment's matrix stay empty, by the keys of the cells: what their settings alone show, and what the
 * model does. None where the model is not there.
 */
export async function obstaclesOf(experiment: ResolvedExperiment): Promise<CellReasons> {
  return (await import('./plan/matrix/obstacles.ts')).obstaclesOf(experiment);
}

/** What runs share, and which of it no run uses any more. */
export async function listShared(runs: string): Promise<SharedResults> {
  return (await import('./plan/shared-results.ts')).listShared(runs);
}

/** Removes what no run uses any more. @returns what was there before. @throws UserError `matrix/busy`. */
export async function sweepShared(runs: string): Promise<SharedResults> {
  return (await import('./plan/shared-results.ts')).sweepShared(runs);
}

/**
 * The stopped run of an experiment to go on with.
 * @param named folder or name; null for the newest that fits.
 * @param takeOver it may also be one of which nobody can tell whether it is at work.
 */
export async function runToResume(
  experiment: ResolvedExperiment,
  named: string | null,
  takeOver = false,
): Promise<Run> {
  return (await import('./plan/resume.ts')).runToResume(experiment, named, takeOver);
}

/** Learned rotations to measure an experiment with; null where it needs none. */
export async function findSource(experiment: ResolvedExperiment, named: Named): Promise<Source | null> {
  return (await import('./plan/source.ts')).findSource(experiment, named);
}

/** Measures perplexity at full precision and quantized. */
export async function* evaluateExperiment(
  experiment: ResolvedExperiment,
  options: EvaluateOptions,
): AsyncGenerator<RunEvent, EvaluateResult> {
  return yield* (await import('./plan/evaluate.ts')).evaluateExperiment(experiment, options);
}

/** The model or the run that a name or path means. @param runs the folder of runs. @throws UserError `generate/no-writer`. */
export async function findWriter(named: string, runs: string): Promise<Writer> {
  return (await import('./plan/writer.ts')).findWriter(named, runs);
}

/** Lets a model, or the quantized network of a run, write text behind a prompt. */
export async function* generateText(
  request: GenerateRequest,
  options: GenerateOptions,
): AsyncGenerator<RunEvent | GenerationEvent, GenerateResult> {
  return yield* (await import('./plan/generate.ts')).generateText(request, options);
}

/** Lets a model and runs of it write text behind a prompt, and each run judge the model's text token by token. */
export async function* compareText(
  request: ComparisonRequest,
  options: GenerateOptions,
): AsyncGenerator<RunEvent | ComparisonEvent, ComparisonResult> {
  return yield* (await import('./plan/compare-text.ts')).compareText(request, options);
}

/** Measures how fast a model, or the network of a run, reads a prompt and tokens behind it, beside others in turn. */
export async function* measureSpeed(
  request: SpeedRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent | SpeedEvent, SpeedResult> {
  return yield* (await import('./plan/speed/measure-speed.ts')).measureSpeed(request, options);
}

/** Collects activation statistics before and after rotation, per layer and site. */
export async function* inspectActivations(
  experiment: ResolvedExperiment,
  options: InspectOptions,
): AsyncGenerator<RunEvent, InspectResult> {
  return yield* (await import('./plan/inspect.ts')).inspectActivations(experiment, options);
}

/** The same, kept in the run of the rotations or in one of its own, which is named. */
export async function* evaluateAndKeep(
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EngineOptions & IntegerOptions,
): AsyncGenerator<RunEvent, KeptEvaluation> {
  return yield* (await import('./plan/measure-and-keep.ts')).evaluateAndKeep(experiment, source, options);
}

/** Attributes the loss of the quantized network to its roundings, kept in the run of the rotations or in one of its own. */
export async function* attributeAndKeep(
  experiment: ResolvedExperiment,
  source: Source | null,
  options: AttributeOptions,
): AsyncGenerator<RunEvent, KeptAttribution> {
  return yield* (await import('./plan/measure-and-keep.ts')).attributeAndKeep(experiment, source, options);
}

/** Measurements of either kind, kept in the run of the rotations or in one of their own. @returns its folder. */
export async function* measureAndKeep(
  what: 'evaluate' | 'inspect',
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EngineOptions,
): AsyncGenerator<RunEvent, string> {
  if (what === 'evaluate') return (yield* evaluateAndKeep(experiment, source, options)).run;
  return yield* (await import('./plan/measure-and-keep.ts')).inspectAndKeep(experiment, source, options);
}

/** Writes the network of a run, or a model at full precision, as a folder for other runtimes. */
export async function* exportModel(
  request: ExportModelRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent, ExportModelResult> {
  return yield* (await import('./plan/export-model.ts')).exportModel(request, options);
}

/** Writes the network of a run, or a model at full precision, as a checkpoint that other programs load. */
export async function* exportCheckpoint(
  request: ExportCheckpointRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent, ExportCheckpointResult> {
  return yield* (await import('./plan/export-checkpoint.ts')).exportCheckpoint(request, options);
}

/** What becomes of a run in such a checkpoint; nothing is computed or written. */
export async function* planExport(
  request: PlanExportRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent, ExportPlan> {
  return yield* (await import('./plan/plan-export.ts')).planExport(request, options);
}

/** Writes the rotations of a run to a file. @returns names of the tensors in it. */
export async function exportRun(dir: string, format: string, out: string): Promise<string[]> {
  return (await import('./export/index.ts')).exportRun(dir, format, out);
}

/** Makes a model folder of a GGUF file, or of a llama2.c checkpoint with its tokenizer. */
export async function* importModel(
  request: ImportModelRequest,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, ImportedModel> {
  return yield* (await import('./model/import-model.ts')).importModel(request, signal);
}

/** Describes a model folder and checks it in full: every tensor, its shape and its place in the files. */
export async function describeModel(dir: string): Promise<ModelDescription> {
  return (await import('./plan/describe-model.ts')).describeModel(dir);
}

/** Opens ONNX Runtime, to see whether it is there. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  return (await import('./runtime/index.ts')).createRuntime(options);
}

/** The devices that there are besides the processor, in a sentence. */
export async function otherDevices(): Promise<string> {
  return (await import('./runtime/index.ts')).otherDevices();
}
