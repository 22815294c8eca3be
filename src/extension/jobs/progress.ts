/** The progress of every job that has not ended. Knows nothing of the editor. */
import type { RunEvent } from '../../protocol/events.ts';
import { advance, NO_PROGRESS, type Progress } from '../../protocol/progress.ts';
import type { Job } from '../services.ts';

export class ProgressOfJobs {
  readonly #known = new Map<string, Progress>();

  of(id: string): Progress {
    return this.#known.get(id) ?? NO_PROGRESS;
  }

  hear({ id }: Job, event: RunEvent): void {
    this.#known.set(id, advance(this.of(id), event));
  }

  /** A job was added or changed its state: one that has ended is forgotten, others stay as they are. */
  changed({ id, state }: Job): void {
    if (state !== 'waiting' && state !== 'running') this.#known.delete(id);
  }
}
