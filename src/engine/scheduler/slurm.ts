/** What SpinQuant Lab asks of Slurm: to take an array of jobs, to end one, and what is in the queue. */
import { UserError } from '../../protocol/errors.ts';
import { CommandFault, runCommand } from './command.ts';
import { PLAIN_FORMAT, parseQueueJson, parseQueuePlain, type QueueEntry } from './queue.ts';

/**
 * Submits a script as an array of jobs.
 * @param tasks of the array. @param limit of those that run at once.
 * @returns the number of the array. @throws UserError `cluster/…` with Slurm's own words.
 */
export async function submitArray(script: string, tasks: number, limit: number): Promise<number> {
  try {
    const said = await runCommand('sbatch', submitArguments(script, tasks, limit));
    const job = Number.parseInt(said, 10); // `12`, or `12;cluster`.
    if (!Number.isSafeInteger(job)) throw new CommandFault(`it answered ${JSON.stringify(said.trim())}`);
    return job;
  } catch (error) {
    throw error instanceof CommandFault ? refused(error.message) : error;
  }
}

export function submitArguments(script: string, tasks: number, limit: number): string[] {
  return ['--parsable', `--array=0-${tasks - 1}%${limit}`, script];
}

const FAULTS: readonly (readonly [pattern: RegExp, code: string, hint: string])[] = [
  [
    /partition/i,
    'cluster/partition',
    '`sinfo` lists the partitions. Name one in "partition" under "cluster".',
  ],
  [
    /\bmem|memory/i,
    'cluster/memory',
    'Set "memory" under "cluster": `sinfo -o "%P %m"` shows what nodes have.',
  ],
  [
    /\btime\b/i,
    'cluster/time',
    'Set "time" under "cluster": `sinfo -o "%P %l"` shows the limits of partitions.',
  ],
  [
    /node (configuration|count)|cpu|processors/i,
    'cluster/cpus',
    'Set "cpus" or "memory" under "cluster" to what a node has: `sinfo -o "%P %c %m"`.',
  ],
  [
    /account|qos/i,
    'cluster/account',
    'Set "account" or "qos" under "cluster", as your site gave them to you.',
  ],
];

function refused(words: string): UserError {
  const [, code, hint] = FAULTS.find(([pattern]) => pattern.test(words)) ?? [
    null,
    'cluster/refused',
    '`spinquant plan FILE --cluster` prints the script: try it by hand with sbatch.',
  ];
  return new UserError(code, `sbatch refused the jobs: ${words}`, hint);
}

/** Whether this squeue writes JSON: a build of Slurm may lack it. */
let writesJson = true;

/**
 * The jobs of a name, also those that ended a short while ago.
 * @throws UserError `cluster/no-slurm`; {@link CommandFault} where the controller does not answer.
 */
export async function readQueue(name: string): Promise<QueueEntry[]> {
  if (writesJson) {
    const found = await readJsonQueue(name);
    if (found !== null) return found;
    writesJson = false;
  }
  const args = ['--noheader', '--array', '--states=all', `--name=${name}`, `--format=${PLAIN_FORMAT}`];
  return parseQueuePlain(await runCommand('squeue', args));
}

/** @returns null where this squeue cannot; a controller that is away is not told apart from that before the next try. */
async function readJsonQueue(name: string): Promise<QueueEntry[] | null> {
  try {
    return parseQueueJson(await runCommand('squeue', ['--json']), name);
  } catch (error) {
    if (error instanceof UserError) throw error;
    return null;
  }
}

/** Lets more tasks of an array run at once. One that has ended meanwhile is no fault. */
export async function raiseLimit(job: number, limit: number): Promise<boolean> {
  try {
    await runCommand('scontrol', ['update', `JobId=${job}`, `ArrayTaskThrottle=${limit}`]);
    return true;
  } catch (error) {
    if (error instanceof CommandFault) return false;
    throw error;
  }
}

/**
 * Ends jobs that wait or run. One that has ended already is no fault.
 * @param jobs number of an array, or `12_3` for a task of it. @throws UserError `cluster/refused`.
 */
export async function cancelJobs(jobs: readonly (number | string)[]): Promise<void> {
  if (jobs.length === 0) return;
  try {
    await runCommand('scancel', ['--quiet', ...jobs.map(String)]);
  } catch (error) {
    if (!(error instanceof CommandFault)) throw error;
    throw new UserError(
      'cluster/refused',
      `scancel refused: ${error.message}`,
      'Look at the jobs with `squeue`.',
    );
  }
}
