/** The run folder is the only record of an experiment's run; every part of the product reads it. */
export type {
  ActivationsFile,
  Histogram,
  MedianRange,
  SiteRecord,
  SiteStatistics,
  WeightRecord,
  WeightStatistics,
} from './activations.ts';
export { activationsSchema, writeActivations } from './activations.ts';
export type { AttributionCell, AttributionFile, BudgetPoint, LossRise } from './attribution.ts';
export { attributionSchema, readAttribution, writeAttribution } from './attribution.ts';
export { correlations } from './attribution-sums.ts';
export type { ClipState, FoundClip, LayerClips } from './clip-ratios.ts';
export {
  clipRatiosSchema,
  readClipRatios,
  readClipState,
  textOfClipRatios,
  writeClipRatios,
} from './clip-ratios.ts';
export { EventLog, type EventPlace, FROM_THE_START, readEvents, readEventsFrom } from './event-log.ts';
export { exceptionLine, exceptionText } from './exception-words.ts';
export { isRunFolder, RUN_FILES, readJson, readVersion1, writeJson } from './files.ts';
export { RunHistory } from './history.ts';
export { type KeyOffsetChoice, parseKeyChoices } from './key-offset.ts';
export type { RunList } from './list.ts';
export { isResumable, listRuns, mayBeLeft } from './list.ts';
export { type FolderLock, takeLock, takeLockIfFree } from './lock.ts';
export { isLocked } from './lock-files.ts';
export * from './matrix/index.ts';
export type { RoundingRecord } from './old-forms.ts';
export { parseRounding } from './old-forms.ts';
export type { Provenance, RunCell, RunRecord, RunStatus } from './record.ts';
export type {
  AverageBits,
  LossSummary,
  NewResults,
  PerplexityResult,
  ResultsFile,
  RotationsOf,
} from './results.ts';
export { perplexitiesSchema } from './results.ts';
export { createRun, openRun, Run } from './run.ts';
export type { KeptTask, TaskResult } from './task-results.ts';
export { keptTaskSchema } from './task-results.ts';
