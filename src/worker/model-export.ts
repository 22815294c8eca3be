import { exportModel } from '../engine/index.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { ExportModelParams, ExportModelResult } from '../protocol/worker.ts';

/** The model of a run as a folder, in terms of the engine. */
export function exportOf({
  run,
  job: _,
  ...request
}: ExportModelParams): (signal: AbortSignal) => AsyncGenerator<RunEvent, ExportModelResult> {
  return async function* (signal) {
    const { files, notes } = yield* exportModel({ ...request, from: { run } }, { signal });
    return { bytes: Object.values(files).reduce((sum, size) => sum + size, 0), notes };
  };
}
