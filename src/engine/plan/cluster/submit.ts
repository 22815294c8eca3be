/** Hands tasks to the cluster, one process at a time. */
import { randomBytes } from 'node:crypto';
import manifest from '../../../../package.json' with { type: 'json' };
import type { Cluster, ResolvedExperiment } from '../../../config/index.ts';
import { takeLockIfFree } from '../../../runs/index.ts';
import type { QueueEntry } from '../../scheduler/queue.ts';
import { scriptOf } from '../../scheduler/script.ts';
import { raiseLimit, submitArray } from '../../scheduler/slurm.ts';
import type { Demand } from './demand.ts';
import type { ClusterFolder, Submission, Task } from './folder.ts';

/** What all submissions of an experiment have in common. */
export interface Handing {
  readonly experiment: ResolvedExperiment;
  readonly cluster: Cluster;
  readonly folder: ClusterFolder;
  /** Program and first arguments that start the command line. */
  readonly program: readonly string[];
  /** Source of custom operators, as for a job here. */
  readonly kernels: string | undefined;
  readonly demand: Demand;
}

/** A task in the queue, or one whose submission is under way. */
export interface LiveTask {
  readonly submission: Submission;
  readonly index: number;
  readonly task: Task;
  /** Null while sbatch has not answered. */
  readonly entry: QueueEntry | null;
}

/** A submission without a number that is older than this was never made: its process was killed before. */
const UNDER_WAY_MS = 300_000;
/** Slurm refuses arrays that are larger than its MaxArraySize, 1001 where a site says nothing. */
const MOST_TASKS = 1000;

/** The tasks of submissions that are in the queue. Entries know their submission by its token. */
export function liveTasks(submissions: readonly Submission[], queue: readonly QueueEntry[]): LiveTask[] {
  const byPlace = new Map(queue.map((entry) => [`${entry.comment} ${entry.index}`, entry]));
  return submissions.flatMap((submission) =>
    submission.tasks.flatMap((task, index): LiveTask[] => {
      const entry = byPlace.get(`${submission.token} ${index}`) ?? null;
      if (entry !== null) return entry.state === 'ended' ? [] : [{ submission, index, task, entry }];
      const isUnderWay =
        submission.job === null && Date.now() - Date.parse(submission.submittedAt) < UNDER_WAY_MS;
      return isUnderWay ? [{ submission, index, task, entry }] : [];
    }),
  );
}

/** How many jobs may start beside those that are live. */
export function freePlaces(maxJobs: number, live: readonly LiveTask[]): number {
  const used = countBySubmission(live).reduce(
    (sum, { submission, tasks }) => sum + Math.min(submission.limit, tasks),
    0,
  );
  return Math.max(0, maxJobs - used);
}

function countBySubmission(live: readonly LiveTask[]): { submission: Submission; tasks: number }[] {
  const counts = new Map<string, { submission: Submission; tasks: number }>();
  for (const { submission } of live) {
    const tasks = (counts.get(submission.token)?.tasks ?? 0) + 1;
    counts.set(submission.token, { submission, tasks });
  }
  return [...counts.values()];
}

/** An array that was submitted while others ran gets their places when they have ended. */
export async function giveFreePlaces(handing: Handing, live: readonly LiveTask[]): Promise<void> {
  const { cluster, folder } = handing;
  if (freePlaces(cluster.maxJobs, live) === 0) return;
  const lock = takeLockIfFree(folder.path);
  if (lock === null) return;
  try {
    const now = asWritten(live, await folder.submissions());
    let free = freePlaces(cluster.maxJobs, now);
    for (const { submission, tasks } of countBySubmission(now)) {
      const more = Math.min(free, tasks - submission.limit);
      if (more <= 0 || submission.job === null || submission.cancelledAt !== null) continue;
      const limit = submission.limit + more;
      if (!(await raiseLimit(submission.job, limit))) continue;
      folder.writeSubmission({ ...submission, limit });
      free -= more;
    }
  } finally {
    lock.release();
  }
}

/** The same tasks with their submissions as they stand now: others may have written these since. */
function asWritten(live: readonly LiveTask[], submissions: readonly Submission[]): LiveTask[] {
  const byToken = new Map(submissions.map((one) => [one.token, one]));
  return live.flatMap((task) => {
    const submission = byToken.get(task.submission.token);
    return submission === undefined ? [] : [{ ...task, submission }];
  });
}

/**
 * Submits tasks that `choose` finds, given all submissions that there are by now.
 * @returns null where there is nothing to submit, or where another watcher submits at this moment.
 * @throws UserError `cluster/…` with sbatch's words.
 */
export async function submitTasks(
  handing: Handing,
  choose: (submissions: readonly Submission[]) => { readonly tasks: readonly Task[]; readonly limit: number },
): Promise<Submission | null> {
  const { folder } = handing;
  const lock = takeLockIfFree(folder.path);
  if (lock === null) return null;
  try {
    const { tasks, limit } = choose(await folder.submissions());
    if (tasks.length === 0 || limit < 1) return null;
    const token = `${Date.now().toString(36)}${randomBytes(4).toString('hex')}`;
    const written: Submission = {
      version: 1,
      token,
      submittedAt: new Date().toISOString(),
      job: null,
      limit,
      tasks: tasks.slice(0, MOST_TASKS),
      cancelledAt: null,
    };
    folder.writeSubmission(written);
    try {
      const script = await folder.writeScript(token, scriptFor(handing, written));
      const submitted = { ...written, job: await submitArray(script, written.tasks.length, limit) };
      folder.writeSubmission(submitted);
      return submitted;
    } catch (error) {
      await folder.removeSubmission(written);
      throw error;
    }
  } finally {
    lock.release();
  }
}

/** The script of a submission. A task's words are its cell and its step. */
export function scriptFor(
  { experiment, cluster, folder, program, kernels, demand }: Handing,
  { token, tasks }: Pick<Submission, 'token' | 'tasks'>,
): string {
  const { source, threads, runs, device } = experiment;
  const own = cluster.program === null ? program : [cluster.program];
  const options = [
    ...['--token', token, '--expect', manifest.version],
    ...['--runs', runs, '--threads', String(threads ?? cluster.cpus), '--device', device],
    ...(kernels === undefined ? [] : ['--kernels', kernels]),
  ];
  return scriptOf({
    name: folder.jobs,
    comment: token,
    log: folder.logs,
    cluster,
    ...demand,
    places: [source.file, runs],
    command: [...own, 'run-step', source.file, ...options],
    tasks: tasks.map(({ cell, step }) => ['--cell', cell, ...(step === null ? [] : ['--step', step])]),
  });
}
