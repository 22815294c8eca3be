/** The experiment file: types, defaults, JSON schema, faults with text ranges. */

export { readClusterFile } from './cluster-file.ts';
export { decidingDifferences, isDeciding } from './deciding.ts';
export {
  bitsLabel,
  choosesKeyOffset,
  hasLearnedRotation,
  hasSiteClips,
  isSeeded,
  learningWeightBits,
  learningWeightClip,
  learnsClips,
  methodsThatRead,
  optionsOf,
  quantizersReadText,
  roundingOf,
  scaledSeams,
  scalingOf,
  searchesClips,
  takesKeyMeans,
  trainingOf,
  withKeyOffset,
  withoutMaps,
} from './derived.ts';
export type { Difference } from './differences.ts';
export { experimentDifferences } from './differences.ts';
export type { ExceptionPart } from './exceptions.ts';
export {
  choosesExceptions,
  EXCEPTION_PARTS,
  exceptionsSpec,
  hasExceptions,
  INPUT_OF_SITE,
  LINEARS_OF_SITE,
  lastLayer,
  quantizationOfSite,
  quantizationOfWeight,
  sitesOf,
  weightExceptionsSpec,
  withoutChosen,
  withoutIdleChoices,
  worstLayers,
} from './exceptions.ts';
export type { Fault, JsonPath, RuleFault, TextRange } from './faults.ts';
export { ExperimentError, formatFault, formatPath, uniqueFaults, withHint } from './faults.ts';
export type { JsonSchema, SchemaTree } from './json-schema.ts';
export { experimentJsonSchema } from './json-schema.ts';
export { withoutLaterOptions } from './later-options.ts';
export * from './matrix/index.ts';
export type { MethodDescriptor, MethodKind, MethodName, MethodOptions } from './methods/index.ts';
export { METHODS, methodNamed, methodsOf, methodTitle } from './methods/index.ts';
export type { ModelPlace } from './model-place.ts';
export { modelPlace } from './model-place.ts';
export type { ParsedExperiment, Reading } from './parse.ts';
export { parseExperiment } from './parse.ts';
export type { CheckedExperiment, ExperimentSource, ResolvedExperiment } from './resolve.ts';
export {
  calibrationPath,
  checkExperiment,
  EXPERIMENT_SUFFIX,
  experimentOfText,
  experimentSlug,
  portableExperiment,
  readExperimentText,
  relativeToHere,
  resolveExperiment,
  resolvePortable,
} from './resolve.ts';
export type { Device, Experiment, ExperimentInput, PerplexityTask } from './schema.ts';
export { experimentSchema } from './schema.ts';
export { BITS, type Bits } from './schema-bits.ts';
export { type Cluster, clusterSchema } from './schema-cluster.ts';
export type { Exception, ExceptionSite } from './schema-exceptions.ts';
export { EXCEPTION_SITES, exceptionSchema } from './schema-exceptions.ts';
export type { Matrix } from './schema-matrix.ts';
export type {
  ActivationQuantization,
  CacheQuantization,
  KeyOffset,
  Quantization,
  WeightQuantization,
} from './schema-quantization.ts';
export { KEY_PARTS, LEARNED, SEARCHED } from './schema-quantization.ts';
export { isThroughNetwork, type Learning, type Rotation, type RotationKind } from './schema-rotation.ts';
export type { Scaling } from './schema-scaling.ts';
export { NO_SCALING } from './schema-scaling.ts';
export type { MeasuredTask, TaskEntry } from './schema-tasks.ts';
export { measuredTasks, tasksOfEntry } from './schema-tasks.ts';
export type { TextSource } from './schema-text.ts';
export { describeText, pathOf, withPath } from './schema-text.ts';
export type { Training } from './schema-training.ts';
export { NO_TRAINING } from './schema-training.ts';
export type { SharedText } from './shared-texts.ts';
export { learnsOnText, sharedTextFaults, sharedTexts } from './shared-texts.ts';
export type { SiteQuantizer } from './site-quantizers.ts';
export { siteQuantizer } from './site-quantizers.ts';
export type { TaskDescriptor, TaskName } from './tasks/index.ts';
export { ALL_TASKS, TASKS, taskNamed, taskTitle } from './tasks/index.ts';
export type { Purpose } from './validate-together.ts';
export { fillsMatrix, validateTogether } from './validate-together.ts';
