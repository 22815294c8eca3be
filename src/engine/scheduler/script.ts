/** The script of an array of jobs. */
import type { Cluster } from '../../config/index.ts';
import { AGAIN, NOT_SEEN } from '../../protocol/exit-codes.ts';

export interface JobScript {
  /** Name of the jobs in the queue. */
  readonly name: string;
  /** Comes back with every job of the queue. */
  readonly comment: string;
  /** Path of the logs; `%A` and `%a` stand for the numbers of the array and of the task. */
  readonly log: string;
  readonly cluster: Cluster;
  /** In minutes. */
  readonly minutes: number;
  /** In MiB. */
  readonly memory: number;
  /** Places that a node must see. */
  readonly places: readonly string[];
  /** Program and arguments of a task; those of {@link tasks} come behind. */
  readonly command: readonly string[];
  /** Further arguments of each task, in the order of their numbers; words without spaces. */
  readonly tasks: readonly (readonly string[])[];
}

/** The shell that starts a task warns it so long before the time is over; a quarter of a short time. */
const WARNING_SECONDS = 120;

/** A batch script of bash. The task of a step is started as a child, so that the shell can pass signals on. */
export function scriptOf(job: JobScript): string {
  const { cluster, command, places, tasks } = job;
  return [
    '#!/bin/bash',
    ...directives(job),
    '',
    '# What each task of the array does.',
    'TASKS=(',
    ...tasks.map((words) => `  ${quoted(words.join(' '))}`),
    ')',
    ...cluster.setup,
    ...(cluster.ranks > 1 ? RANKS : []),
    `for place in ${places.map(quoted).join(' ')}; do`,
    '  if [ ! -e "$place" ]; then',
    '    echo "The node $SLURMD_NODENAME does not see $place: it must be on a disk that all nodes share." >&2',
    `    exit ${NOT_SEEN}`,
    '  fi',
    'done',
    '',
    `words="\${TASKS[$SLURM_ARRAY_TASK_ID]}"`,
    '# The signal of the last minutes goes on to the step, which keeps what it has.',
    'step= asked=',
    `pass() { asked=$1; [ -z "$step" ] || kill "-$1" "$step" 2>/dev/null; }`,
    `trap 'pass USR2' USR2`,
    `trap 'pass TERM' TERM`,
    `${[...launch(cluster), ...command.map(quoted)].join(' ')} $words &`,
    'step=$!',
    '[ -z "$asked" ] || pass "$asked"',
    'while true; do asked=; wait "$step"; code=$?; [ -n "$asked" ] || break; done',
    `if [ "$code" -eq ${AGAIN} ]; then`,
    `  scontrol requeue "\${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"`,
    'fi',
    'exit "$code"',
    '',
  ].join('\n');
}

/** Ranks end together. One that is gone leaves the others waiting, which srun ends after so many seconds. */
const WAIT_SECONDS = 10;
/** Since 22.05 srun does not take its processors from the job. */
const RANKS = [
  `export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" SLURM_WAIT="\${SLURM_WAIT:-${WAIT_SECONDS}}"`,
];

const launch = ({ ranks, launcher }: Cluster): string[] => (ranks > 1 ? [launcher] : []);

function directives({ name, comment, log, cluster, minutes, memory }: JobScript): string[] {
  const { partition, account, qos, cpus, options } = cluster;
  const warning = Math.max(5, Math.min(WARNING_SECONDS, Math.floor(minutes * 15)));
  const own = [
    `--job-name=${name}`,
    `--comment=${comment}`,
    `--output=${log}`,
    '--open-mode=append',
    '--requeue',
    `--signal=B:USR2@${warning}`,
    `--time=${cluster.time ?? minutes}`,
    ...(cluster.ranks > 1 ? [`--ntasks=${cluster.ranks}`, '--ntasks-per-node=1'] : ['--ntasks=1']),
    `--cpus-per-task=${cpus}`,
    `--mem=${cluster.memory ?? `${memory}M`}`,
    ...(partition === null ? [] : [`--partition=${partition}`]),
    ...(account === null ? [] : [`--account=${account}`]),
    ...(qos === null ? [] : [`--qos=${qos}`]),
    ...options,
  ];
  return own.map((option) => `#SBATCH ${/[\s#'"]/.test(option) ? quoted(option) : option}`);
}

/** A word of the shell that stands for itself. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
