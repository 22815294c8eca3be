/** Jobs that have not ended, remembered beyond their window. Knows nothing of the editor. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { messageOf } from '../../protocol/errors.ts';
import type { JobRequest } from '../services.ts';

/** A job that its window left. */
export interface UnfinishedJob {
  readonly request: JobRequest;
  /** Absolute path of the run folder, once it was known. */
  readonly runDir: string | null;
  /** False where it waited for its turn. */
  readonly atWork: boolean;
}

/**
 * They are kept in a file, written at once: what VS Code remembers of a workspace reaches the disk seconds later, and
 * not at all where its process is killed.
 */
export class UnfinishedJobs {
  /** Those of the window before, in the order of their queue. */
  readonly left: readonly UnfinishedJob[];
  readonly #path: string | null;
  readonly #log: { warn(message: string): void };
  #closes = false;

  /** @param path of the file; null in a window without a workspace. */
  constructor(path: string | null, log: { warn(message: string): void }) {
    this.#path = path;
    this.#log = log;
    this.left = path === null ? [] : readUnfinished(path);
    // Told once: what nobody resumes is not asked about at every start.
    if (this.left.length > 0) this.keep([]);
  }

  /** To be called with all that wait or run, whenever one changes. */
  keep(jobs: readonly UnfinishedJob[]): void {
    if (this.#closes || this.#path === null) return;
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      writeFileSync(`${this.#path}.new`, JSON.stringify(jobs));
      renameSync(`${this.#path}.new`, this.#path);
    } catch (error) {
      // The work itself goes on: only the next window will not know of it.
      this.#log.warn(messageOf(error));
    }
  }

  /** The window closes: what ends from now on ends by that. */
  close(): void {
    this.#closes = true;
  }
}

/** None where there is no file, or none that can be read. */
function readUnfinished(path: string): UnfinishedJob[] {
  try {
    const kept: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return Array.isArray(kept) ? kept.filter(isUnfinished) : [];
  } catch {
    return [];
  }
}

/** Another version may have written it. */
function isUnfinished(value: unknown): value is UnfinishedJob {
  if (typeof value !== 'object' || value === null) return false;
  const { request, runDir, atWork } = value as Partial<Record<keyof UnfinishedJob, unknown>>;
  if (typeof request !== 'object' || request === null || typeof atWork !== 'boolean') return false;
  const { kind, experiment } = request as Partial<Record<keyof JobRequest, unknown>>;
  const isKind = ['optimize', 'evaluate', 'inspect', 'attribute'].some((known) => known === kind);
  return isKind && typeof experiment === 'string' && (runDir === null || typeof runDir === 'string');
}
