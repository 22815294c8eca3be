/** The jobs of an experiment that are in the queue, and their end. */
import { existsSync } from 'node:fs';
import type { ResolvedExperiment } from '../../../config/index.ts';
import { UserError } from '../../../protocol/errors.ts';
import { cancelJobs, readQueue } from '../../scheduler/slurm.ts';
import { ClusterFolder } from './folder.ts';
import { waitForFolder } from './lock.ts';
import { type LiveTask, liveTasks } from './submit.ts';

export interface JobStatus {
  /** `12_3`: what squeue and scancel call it. */
  readonly job: string;
  /** `4-4-4 GPTQ, seed 0: gptq`. */
  readonly title: string;
  readonly state: 'pending' | 'running' | 'submitting';
  /** Why it waits, in Slurm's word; empty where it does not. */
  readonly reason: string;
  readonly nodes: string;
  /** Absolute path of what it prints. */
  readonly log: string;
}

/** @throws UserError `cluster/no-slurm`. */
export async function clusterJobs(experiment: ResolvedExperiment): Promise<JobStatus[]> {
  const folder = new ClusterFolder(experiment);
  return (await liveIn(folder)).map((task) => statusOf(folder, task));
}

async function liveIn(folder: ClusterFolder): Promise<LiveTask[]> {
  const queue = await readQueue(folder.jobs);
  return liveTasks(await folder.submissions(), queue);
}

function statusOf(folder: ClusterFolder, { submission, index, task, entry }: LiveTask): JobStatus {
  return {
    job: `${submission.job ?? '?'}_${index}`,
    title: task.title,
    state: entry === null || entry.state === 'ended' ? 'submitting' : entry.state,
    reason: entry?.reason ?? '',
    nodes: entry?.nodes ?? '',
    log: submission.job === null ? '' : folder.logOf(submission.job, index),
  };
}

/**
 * Ends the jobs that wait or run. What their steps kept stays. A watcher of them ends, too. Jobs that a watcher hands over
 * at this moment are waited for, and are among them.
 * @returns what was ended. @throws UserError `cluster/no-slurm`, `cluster/refused`, `cluster/busy`.
 */
export async function cancelCluster(experiment: ResolvedExperiment): Promise<JobStatus[]> {
  const folder = new ClusterFolder(experiment);
  // Whoever submits makes it first. The question tells where there is no Slurm.
  if (!existsSync(folder.path)) return readQueue(folder.jobs).then(() => []);
  const lock = await waitForFolder(folder);
  try {
    const live = await liveIn(folder);
    const cancelledAt = new Date().toISOString();
    for (const submission of new Set(live.map((one) => one.submission)))
      folder.writeSubmission({ ...submission, cancelledAt });
    // A watcher that was killed before it wrote the number leaves it to the queue.
    const numbers = live.flatMap(({ submission, entry }) => submission.job ?? entry?.job ?? []);
    await cancelJobs([...new Set(numbers)]);
    return live.map((task) => statusOf(folder, task));
  } finally {
    lock.release();
  }
}

/**
 * Ends jobs that wait for nothing: Slurm requeues a job that lost its node behind the end of its cell, too. One that
 * Slurm keeps does no harm: it finds nothing to do.
 * @param finished keys of cells that have their numbers.
 */
export async function cancelNeedless(
  live: readonly LiveTask[],
  finished: ReadonlySet<string>,
): Promise<void> {
  const needless = live.flatMap(({ task, index, entry }) =>
    entry?.state === 'pending' && finished.has(task.cell) ? [`${entry.job}_${index}`] : [],
  );
  await cancelJobs(needless).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
  });
}
