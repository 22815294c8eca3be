import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadRuns } from '../lazy.ts';

/**
 * Writes into a run's record that its process is gone. Reading the record says so too, but only on this machine and
 * as long as no other process gets the same number.
 * @param pid of the worker that ended: a run that another process has claimed since is left alone.
 */
export async function markInterrupted(runDir: string | null, pid: number | undefined): Promise<void> {
  if (runDir === null || pid === undefined) return;
  const { RUN_FILES, writeJson } = await loadRuns();
  const path = join(runDir, RUN_FILES.run);
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as {
      status: string;
      process: { pid: number };
    };
    if (record.status !== 'running' || record.process.pid !== pid) return;
    writeJson(path, { ...record, status: 'interrupted', finishedAt: new Date().toISOString() });
  } catch {
    return; // The folder is gone or never came to be: there is nothing to mark.
  }
}
