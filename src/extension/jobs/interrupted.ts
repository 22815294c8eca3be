import type { Stopped } from '../../protocol/errors.ts';
import { loadRuns } from '../lazy.ts';

/**
 * Writes into a run's record that its process is gone.
 * @param pid of the worker that ended: a run that another process has claimed since is left alone.
 */
export async function markLeft(
  runDir: string | null,
  pid: number | undefined,
  status: Stopped,
): Promise<void> {
  if (runDir === null || pid === undefined) return;
  const { openRun } = await loadRuns();
  try {
    await (await openRun(runDir)).markLeft(pid, status);
  } catch {
    return; // The folder is gone, never came to be, or is another's by now: there is nothing to mark.
  }
}
