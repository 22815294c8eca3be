import { exportCheckpoint, exportModel, planExport } from '../engine/index.ts';
import type { RunEvent } from '../protocol/events.ts';
import type {
  ExportCheckpointParams,
  ExportModelParams,
  ExportModelResult,
  PlanExportParams,
  PlanExportResult,
} from '../protocol/worker.ts';

type Work<T> = (signal: AbortSignal) => AsyncGenerator<RunEvent, T>;

/** The model of a run as a folder, in terms of the engine. */
export function exportOf({ run, job: _, ...request }: ExportModelParams): Work<ExportModelResult> {
  return async function* (signal) {
    const { files, notes } = yield* exportModel({ ...request, from: { run } }, { signal });
    return { bytes: bytesOf(files), notes };
  };
}

/** What becomes of a run in a checkpoint. */
export function planOf({ run, settings }: PlanExportParams): Work<PlanExportResult> {
  return async function* (signal) {
    const { rows } = yield* planExport({ settings, from: { run } }, { signal });
    return { rows };
  };
}

/** The model of a run as a checkpoint of others. */
export function checkpointOf({ run, settings, out }: ExportCheckpointParams): Work<ExportModelResult> {
  return async function* (signal) {
    const { files, check } = yield* exportCheckpoint({ settings, out, from: { run } }, { signal });
    const measured =
      check &&
      `Perplexity on ${check.tokens} tokens of ${check.text}, read back: ${check.readBack.toPrecision(5)}.`;
    return { bytes: bytesOf(files), notes: measured === null ? [] : [measured] };
  };
}

const bytesOf = (files: Readonly<Record<string, number>>): number =>
  Object.values(files).reduce((sum, size) => sum + size, 0);
