/** What became of jobs that are no longer in the queue. */
import { existsSync } from 'node:fs';
import type { QueueEntry } from '../../scheduler/queue.ts';
import type { ClusterFolder, Outcome, Submission, Task } from './folder.ts';
import type { LiveTask } from './submit.ts';

/** A task that ended, in one way or another. */
export interface Ending {
  readonly task: Task;
  /** `fault`: the step says what is wrong. `lost`: the job was killed, or its node was. `busy`: another process has the run. */
  readonly how: 'done' | 'fault' | 'lost' | 'cancelled' | 'busy';
  readonly code: string | null;
  /** Of a task that is not done: what happened, with the job, its node and its log. */
  readonly message: string;
  readonly hint: string;
  /** Last lines of its log; null where there is none. */
  readonly tail: string | null;
}

/** So often in a row a task is looked for before its job counts as lost: a shared disk shows files late. */
const LOOKS = 3;

/** Looks after tasks from one look at the queue to the next. */
export class Endings {
  readonly #folder: ClusterFolder;
  /** Tasks that ended before this watcher began, or that it has told of. */
  readonly #told = new Set<string>();
  readonly #missed = new Map<string, number>();
  /** Where a task was last seen: nodes, and Slurm's word for its end. */
  readonly #seen = new Map<string, QueueEntry>();

  constructor(folder: ClusterFolder) {
    this.#folder = folder;
  }

  /** Takes what ended before for told: it is tried again. */
  forget(submissions: readonly Submission[], live: readonly LiveTask[]): void {
    for (const place of placesOf(submissions, live)) this.#told.add(place.name);
  }

  /** @returns tasks that ended since the last look. */
  async look(
    submissions: readonly Submission[],
    live: readonly LiveTask[],
    queue: readonly QueueEntry[],
  ): Promise<Ending[]> {
    for (const entry of queue) {
      // A node stands in the queue until the job is forgotten, or waits again.
      if (entry.nodes !== '' || entry.state === 'ended')
        this.#seen.set(nameOf(entry.comment, entry.index), entry);
    }
    for (const { submission, index } of live) this.#missed.delete(nameOf(submission.token, index));
    const endings: Ending[] = [];
    for (const { name, submission, index, task } of placesOf(submissions, live)) {
      if (this.#told.has(name)) continue;
      const outcome = await this.#folder.outcome(submission.token, index);
      const looks = (this.#missed.get(name) ?? 0) + 1;
      this.#missed.set(name, looks);
      if (outcome === null && looks < LOOKS) continue;
      this.#told.add(name);
      endings.push(await this.#endingOf({ submission, index, task }, outcome, this.#seen.get(name)));
    }
    return endings;
  }

  async #endingOf(
    { submission, index, task }: Omit<EndedPlace, 'name'>,
    outcome: Outcome | null,
    seen: QueueEntry | undefined,
  ): Promise<Ending> {
    const { job } = submission;
    const host = outcome?.host ?? seen?.nodes;
    const where = `job ${job}_${index}${host ? ` on ${host}` : ''}`;
    const tail = job === null ? null : await this.#folder.tailOf(job, index);
    const about = { task, tail, code: outcome?.error?.code ?? null, hint: outcome?.error?.hint ?? '' };
    if (outcome !== null) {
      const message = `${outcome.error?.message ?? ''} (${where})`;
      if (outcome.state === 'failed') return { ...about, how: 'fault', message };
      const isBusy = outcome.state === 'left' && about.code === 'runs/busy';
      return { ...about, how: isBusy ? 'busy' : 'done', message };
    }
    if (submission.cancelledAt !== null || seen?.word === 'CANCELLED')
      return { ...about, how: 'cancelled', message: `Its job was cancelled (${where}).` };
    const word = seen?.state === 'ended' && seen.word !== 'COMPLETED' ? `: Slurm says ${seen.word}` : '';
    const log = job === null ? '' : this.#folder.logOf(job, index);
    if (existsSync(log))
      return { ...about, how: 'lost', message: `Its job was killed${word} (${where}; log: ${log}).` };
    const hint = `Look whether ${host || 'the node'} has the folder ${this.#folder.path}: it must be on a disk that all nodes share.`;
    return {
      ...about,
      hint,
      how: 'lost',
      message: `Its job left neither a result nor a log${word} (${where}).`,
    };
  }
}

interface EndedPlace {
  readonly name: string;
  readonly submission: Submission;
  readonly index: number;
  readonly task: Task;
}

const nameOf = (token: string, index: number): string => `${token} ${index}`;

/** Places of tasks that are not in the queue. */
function placesOf(submissions: readonly Submission[], live: readonly LiveTask[]): EndedPlace[] {
  const alive = new Set(live.map(({ submission, index }) => nameOf(submission.token, index)));
  return submissions.flatMap((submission) =>
    submission.tasks.flatMap((task, index) => {
      const name = nameOf(submission.token, index);
      return alive.has(name) ? [] : [{ name, submission, index, task }];
    }),
  );
}
