/**
 * What a cluster was asked for and what came of it, in the folder of runs: `.cluster/NAME/`. Nothing else tells a second
 * watcher, or one that was killed, where things stand.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { experimentSlug, type ResolvedExperiment } from '../../../config/index.ts';
import { reading, writing } from '../../../disk/faults.ts';
import { UserError } from '../../../protocol/errors.ts';
import { readVersion1, writeJson } from '../../../runs/index.ts';

const taskSchema = z.object({
  /** Key of the cell's settings. */
  cell: z.string(),
  /** Name of the step that it begins with (`stepNames`); null for a cell whose steps are all there. */
  step: z.string().nullable(),
  /** Both for people: `4-4-4 GPTQ, seed 0: gptq`. */
  title: z.string(),
});

const submissionSchema = z.object({
  version: z.literal(1),
  /** Comes back with the jobs of the queue. */
  token: z.string(),
  submittedAt: z.string(),
  /** Number of the array; null until sbatch has answered. */
  job: z.int().nullable(),
  /** Tasks that run at once. */
  limit: z.int(),
  tasks: z.array(taskSchema),
  /** When a person had it cancelled; null where nobody did. */
  cancelledAt: z.string().nullable(),
});

const outcomeSchema = z.object({
  version: z.literal(1),
  /** `left`: another job is at work on what it needs. `stopped`: a signal ended it, and it kept what it had. */
  state: z.enum(['finished', 'left', 'stopped', 'failed']),
  host: z.string(),
  endedAt: z.string(),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
});

export type Task = z.output<typeof taskSchema>;
export type Submission = z.output<typeof submissionSchema>;
export type Outcome = z.output<typeof outcomeSchema>;

/** Bytes of a log that are shown of a job that failed. */
const TAIL_BYTES = 2000;
const TAIL_LINES = 12;

export class ClusterFolder {
  readonly path: string;
  /** Name of the jobs in the queue: of this experiment alone. */
  readonly jobs: string;

  constructor({ runs, source }: Pick<ResolvedExperiment, 'runs' | 'source'>) {
    const place = createHash('sha256').update(`${source.file}\n${runs}`).digest('hex').slice(0, 8);
    const name = `${experimentSlug(source.file)}-${place}`;
    this.path = join(runs, '.cluster', name);
    this.jobs = `spinquant-${name}`;
  }

  async make(): Promise<void> {
    for (const part of ['submissions', 'outcomes', 'logs'])
      await writing(this.path, () => mkdir(join(this.path, part), { recursive: true }));
  }

  /** The pattern of Slurm for the logs of an array. */
  get logs(): string {
    return join(this.path, 'logs', '%A_%a.log');
  }

  /** All that were written, the oldest first. What cannot be read is of another version, and left alone. */
  async submissions(): Promise<Submission[]> {
    const folder = join(this.path, 'submissions');
    const names = existsSync(folder) ? await reading(folder, () => readdir(folder)) : [];
    const found: Submission[] = [];
    for (const name of names.filter((one) => one.endsWith('.json')).sort()) {
      const read = await readVersion1(join(folder, name), submissionSchema, 'a submission').catch(
        noUserError,
      );
      if (read !== null) found.push(read);
    }
    return found;
  }

  writeSubmission(submission: Submission): void {
    writeJson(join(this.path, 'submissions', `${submission.token}.json`), submission);
  }

  async removeSubmission({ token }: Submission): Promise<void> {
    await rm(join(this.path, 'submissions', `${token}.json`), { force: true });
  }

  /** @returns its path. */
  async writeScript(token: string, text: string): Promise<string> {
    const path = join(this.path, 'submissions', `${token}.sh`);
    await writing(path, () => writeFile(path, text, { mode: 0o700 }));
    return path;
  }

  /** How a task ended; null where it did not say. */
  async outcome(token: string, index: number): Promise<Outcome | null> {
    const path = this.#outcomePath(token, index);
    if (!existsSync(path)) return null;
    return readVersion1(path, outcomeSchema, 'the end of a job').catch(noUserError);
  }

  writeOutcome(token: string, index: number, outcome: Outcome): void {
    writeJson(this.#outcomePath(token, index), outcome);
  }

  /** Before a task begins, or begins again. */
  async removeOutcome(token: string, index: number): Promise<void> {
    await rm(this.#outcomePath(token, index), { force: true });
  }

  logOf(job: number, index: number): string {
    return join(this.path, 'logs', `${job}_${index}.log`);
  }

  /** The last lines of a task's log; null where there is none. */
  async tailOf(job: number, index: number): Promise<string | null> {
    const path = this.logOf(job, index);
    if (!existsSync(path)) return null;
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, TAIL_BYTES);
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
      const lines = buffer
        .toString('utf8')
        .split('\n')
        .filter((line) => line.trim() !== '');
      return lines.slice(-TAIL_LINES).join('\n');
    } finally {
      await file.close();
    }
  }

  #outcomePath(token: string, index: number): string {
    return join(this.path, 'outcomes', `${token}-${index}.json`);
  }
}

function noUserError(error: unknown): null {
  if (error instanceof UserError) return null;
  throw error;
}
