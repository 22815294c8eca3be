/** The experiment file: types, defaults, JSON schema, faults with text ranges. */

export { decidingDifferences, isDeciding } from './deciding.ts';
export {
  bitsLabel,
  hasLearnedRotation,
  learningWeightBits,
  learningWeightClip,
  methodsThatRead,
  optionsOf,
  roundingOf,
  scalingOf,
  trainingOf,
  withoutMaps,
} from './derived.ts';
export type { Difference } from './differences.ts';
export { experimentDifferences } from './differences.ts';
export type { Fault, JsonPath, RuleFault, TextRange } from './faults.ts';
export { ExperimentError, formatFault, formatPath, uniqueFaults } from './faults.ts';
export type { JsonSchema, SchemaTree } from './json-schema.ts';
export { experimentJsonSchema } from './json-schema.ts';
export type { MethodDescriptor, MethodKind, MethodName, MethodOptions } from './methods/index.ts';
export { METHODS, methodNamed, methodsOf, methodTitle } from './methods/index.ts';
export type { ParsedExperiment, Reading } from './parse.ts';
export { parseExperiment } from './parse.ts';
export type { CheckedExperiment, ExperimentSource, ResolvedExperiment } from './resolve.ts';
export {
  checkExperiment,
  EXPERIMENT_SUFFIX,
  experimentSlug,
  portableExperiment,
  readExperimentText,
  relativeToHere,
  resolveExperiment,
  resolvePortable,
} from './resolve.ts';
export type { Device, Experiment, ExperimentInput, PerplexityTask } from './schema.ts';
export { experimentSchema } from './schema.ts';
export type {
  ActivationQuantization,
  Bits,
  CacheQuantization,
  Quantization,
  WeightQuantization,
} from './schema-quantization.ts';
export { BITS } from './schema-quantization.ts';
export type { Learning, Rotation, RotationKind } from './schema-rotation.ts';
export type { Scaling } from './schema-scaling.ts';
export { NO_SCALING } from './schema-scaling.ts';
export type { Training } from './schema-training.ts';
export { NO_TRAINING } from './schema-training.ts';
export type { SiteQuantizer } from './site-quantizers.ts';
export { siteQuantizer } from './site-quantizers.ts';
export type { Purpose } from './validate-together.ts';
export { validateTogether } from './validate-together.ts';
