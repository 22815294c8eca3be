/** Runs as they are shown while jobs are at work on them. Knows nothing of the editor. */
import type { Run } from '../../runs/index.ts';
import type { Job } from '../services.ts';

/**
 * A run's record and the queue learn of an end one after the other. The record of a killed worker reports it as soon as
 * its process is gone, the queue once the last lines have been read. Views look at both: a run counts as running until
 * its job has ended, and from then on its record counts.
 */
export class LiveRuns {
  readonly #running: () => Job | null;
  readonly #runs = new Map<string, Run>();
  /** The job and its own run, once it has been seen at work. */
  #seenAtWork: string | null = null;

  constructor(running: () => Job | null) {
    this.#running = running;
  }

  get dirs(): string[] {
    return [...this.#runs.keys()];
  }

  asRead(): Run[] {
    return [...this.#runs.values()];
  }

  /** As it is to be shown. */
  get(dir: string): Run | undefined {
    const run = this.#runs.get(dir);
    const job = this.#running();
    if (run === undefined || job?.runDir !== dir) return run;
    const atWork = `${job.id} ${dir}`;
    const { status } = run.record;
    if (status === 'running') {
      this.#seenAtWork = atWork;
      return run;
    }
    // A finished run that is only measured again stays finished, and so does the cell that stands for a whole table.
    const goesOn = job.kind === 'optimize' && status !== 'finished';
    return goesOn || atWork === this.#seenAtWork ? run.withStatus('running') : run;
  }

  /** Newest first. */
  sorted(): Run[] {
    const age = ({ record }: Run) => `${record.startedAt} ${record.id}`;
    const runs = this.dirs.map((dir) => this.get(dir)).filter((run) => run !== undefined);
    return runs.sort((a, b) => (age(a) < age(b) ? 1 : -1));
  }

  set(run: Run): void {
    this.#runs.set(run.dir, run);
    this.get(run.dir);
  }

  delete(dir: string): void {
    this.#runs.delete(dir);
  }
}
