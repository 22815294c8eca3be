/** Jobs that have not ended, remembered beyond their window. Knows nothing of the editor. */
import type { JobRequest } from '../services.ts';

/** A job that its window left. */
export interface UnfinishedJob {
  readonly request: JobRequest;
  /** Absolute path of the run folder, once it was known. */
  readonly runDir: string | null;
  /** False where it waited for its turn. */
  readonly atWork: boolean;
}

/** What VS Code keeps of a workspace. */
interface Memory {
  get(key: string): unknown;
  update(key: string, value: unknown): Thenable<void>;
}

const REMEMBERED = 'spinquant.unfinishedJobs';

export class UnfinishedJobs {
  /** Those of the window before, in the order of their queue. */
  readonly left: readonly UnfinishedJob[];
  readonly #memory: Memory;
  #closes = false;

  constructor(memory: Memory) {
    this.#memory = memory;
    const kept = memory.get(REMEMBERED);
    this.left = Array.isArray(kept) ? kept.filter(isUnfinished) : [];
    // Told once: what nobody resumes is not asked about at every start.
    if (this.left.length > 0) this.keep([]);
  }

  /** To be called with all that wait or run, whenever one changes. */
  keep(jobs: readonly UnfinishedJob[]): void {
    if (!this.#closes) void this.#memory.update(REMEMBERED, jobs);
  }

  /** The window closes: what ends from now on ends by that. */
  close(): void {
    this.#closes = true;
  }
}

/** Another version may have written it. */
function isUnfinished(value: unknown): value is UnfinishedJob {
  if (typeof value !== 'object' || value === null) return false;
  const { request, runDir, atWork } = value as Partial<Record<keyof UnfinishedJob, unknown>>;
  if (typeof request !== 'object' || request === null || typeof atWork !== 'boolean') return false;
  const { kind, experiment } = request as Partial<Record<keyof JobRequest, unknown>>;
  const isKind = kind === 'optimize' || kind === 'evaluate' || kind === 'inspect';
  return isKind && typeof experiment === 'string' && (runDir === null || typeof runDir === 'string');
}
