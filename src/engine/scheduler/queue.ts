/** Jobs in the queue of Slurm, as `squeue` tells of them. */
import { isObject } from '../../protocol/object.ts';

export interface QueueEntry {
  /** Number of the array, and of the task in it. */
  readonly job: number;
  readonly index: number;
  readonly state: 'pending' | 'running' | 'ended';
  /** Slurm's word for it: `PENDING`, `NODE_FAIL`. */
  readonly word: string;
  /** Why it waits, in Slurm's word: `Resources`, `Priority`; empty where it does not. */
  readonly reason: string;
  /** Nodes that it runs on, or ran on; empty before. */
  readonly nodes: string;
  /** What the submission wrote into it. */
  readonly comment: string;
}

/** Columns of {@link parseQueuePlain}. A comment comes last: it may hold anything. */
export const PLAIN_FORMAT = '%F|%K|%T|%r|%N|%k';

const PENDING: readonly string[] = ['PENDING', 'REQUEUED', 'REQUEUE_FED', 'REQUEUE_HOLD', 'SPECIAL_EXIT'];
const RUNNING: readonly string[] = [
  'RUNNING',
  'COMPLETING',
  'CONFIGURING',
  'SUSPENDED',
  'STAGE_OUT',
  'RESIZING',
  'SIGNALING',
  'STOPPED',
];

/** The first word that says more than the others: a job that completes is still there, and one requeued is not. */
function stateOf(words: readonly string[]): Pick<QueueEntry, 'state' | 'word'> {
  const [word = ''] = words;
  const running = words.find((one) => RUNNING.includes(one));
  const pending = words.find((one) => PENDING.includes(one));
  if (pending !== undefined) return { state: 'pending', word: pending };
  return running === undefined ? { state: 'ended', word } : { state: 'running', word: running };
}

/** Reads `squeue -o` in {@link PLAIN_FORMAT}, one task a line. Lines of another shape are no tasks of an array. */
export function parseQueuePlain(text: string): QueueEntry[] {
  return text.split('\n').flatMap((line) => {
    const [job, index, word = '', reason = '', nodes = '', ...comment] = line.split('|');
    if (!/^\d+$/.test(job ?? '') || !/^\d+$/.test(index ?? '')) return [];
    const entry = { job: Number(job), index: Number(index), nodes, comment: comment.join('|') };
    return [withReason({ ...entry, ...stateOf([word]) }, reason)];
  });
}

/**
 * Reads `squeue --json`, of Slurm 21.08 and later. @param name of the jobs that count: some versions list all.
 * @throws SyntaxError for another text.
 */
export function parseQueueJson(text: string, name: string): QueueEntry[] {
  const document: unknown = JSON.parse(text);
  const jobs: unknown = isObject(document) ? document.jobs : undefined;
  if (!Array.isArray(jobs)) throw new SyntaxError('squeue lists no jobs');
  return jobs.flatMap((job: unknown) => (isObject(job) && job.name === name ? entriesOf(job) : []));
}

/** Tasks that wait together are one job with a list of their numbers. */
function entriesOf(job: Readonly<Record<string, unknown>>): QueueEntry[] {
  const array = numberIn(job.array_job_id);
  if (array === null) return [];
  const words = (Array.isArray(job.job_state) ? job.job_state : [job.job_state]).map(String);
  const about = { job: array, nodes: textIn(job.nodes), comment: commentOf(job), ...stateOf(words) };
  const listed = indicesIn(textIn(job.array_task_string));
  const own = numberIn(job.array_task_id);
  const indices = listed.length > 0 ? listed : own === null ? [] : [own];
  return indices.map((index) => withReason({ ...about, index }, textIn(job.state_reason)));
}

function withReason(entry: Omit<QueueEntry, 'reason'>, reason: string): QueueEntry {
  return { ...entry, reason: entry.state === 'pending' && reason !== 'None' ? reason : '' };
}

/** Later versions have several comments. */
function commentOf({ comment }: Readonly<Record<string, unknown>>): string {
  return isObject(comment) ? textIn(comment.job) : textIn(comment);
}

/** Later versions say whether a number is set. */
function numberIn(value: unknown): number | null {
  if (typeof value === 'number') return value;
  if (!isObject(value) || value.set === false) return null;
  return typeof value.number === 'number' ? value.number : null;
}

const textIn = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The numbers in `1-3,7%4`, `0-8:2%2`. */
export function indicesIn(list: string): number[] {
  const [numbers = ''] = list.split('%');
  return numbers.split(',').flatMap((part) => {
    const [, first, last, step] = /^(\d+)(?:-(\d+))?(?::(\d+))?$/.exec(part) ?? [];
    if (first === undefined) return [];
    const [from, to, by] = [Number(first), Number(last ?? first), Number(step ?? 1)];
    return Array.from({ length: Math.floor((to - from) / Math.max(1, by)) + 1 }, (_, at) => from + at * by);
  });
}

/** Reasons that do not pass by themselves, with the setting that a person can change. */
const LASTING: readonly (readonly [pattern: RegExp, setting: string])[] = [
  [/TimeLimit|MaxWall/, '"time"'],
  [/^PartitionNodeLimit|MaxNode|MaxCpu|MaxTRES|MaxMem|BadConstraints/, '"cpus", "memory" or "options"'],
  [/^Partition(Down|Inactive)/, '"partition"'],
  [/Invalid(Account|QOS)|^QOSNotAllowed|^AccountNotAllowed/, '"account" or "qos"'],
];

/** What to change where a job waits for a reason that stays; null for one that passes. */
export function lastingReason(reason: string): string | null {
  return LASTING.find(([pattern]) => pattern.test(reason))?.[1] ?? null;
}
