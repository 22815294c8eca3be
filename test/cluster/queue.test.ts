/** What squeue says, in the shapes of several versions, and the script that sbatch gets. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { jobsText } from '../../src/cli/cluster.ts';
import { clusterSchema, readClusterFile } from '../../src/config/index.ts';
import { freePlaces, liveTasks } from '../../src/engine/plan/cluster/submit.ts';
import {
  indicesIn,
  lastingReason,
  parseQueueJson,
  parseQueuePlain,
} from '../../src/engine/scheduler/queue.ts';
import { scriptOf } from '../../src/engine/scheduler/script.ts';

const folder = mkdtempSync(join(tmpdir(), 'spinquant-queue-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Slurm 22.05 has plain values, 23.11 lists and numbers that may not be set. */
const OLD = {
  jobs: [
    {
      ...{ array_job_id: 7, array_task_id: null, array_task_string: '2-4%2', name: 'mine', comment: 'a' },
      ...{ job_state: 'PENDING', state_reason: 'JobArrayTaskLimit', nodes: '' },
    },
    {
      ...{ array_job_id: 7, array_task_id: 0, array_task_string: '', name: 'mine', comment: 'a' },
      ...{ job_state: 'RUNNING', state_reason: 'None', nodes: 'n1' },
    },
    { array_job_id: 9, array_task_id: 0, array_task_string: '', name: 'other', job_state: 'RUNNING' },
  ],
};
const NEW = {
  jobs: [
    {
      ...{ array_job_id: { set: true, infinite: false, number: 7 }, name: 'mine', comment: { job: 'a' } },
      ...{ array_task_id: { set: false, infinite: false, number: 0 }, array_task_string: '2-4%2' },
      ...{ job_state: ['PENDING'], state_reason: 'JobArrayTaskLimit', nodes: '' },
    },
    {
      ...{ array_job_id: { set: true, infinite: false, number: 7 }, name: 'mine', comment: { job: 'a' } },
      ...{ array_task_id: { set: true, infinite: false, number: 0 }, array_task_string: '' },
      ...{ job_state: ['COMPLETED', 'COMPLETING'], state_reason: 'None', nodes: 'n1' },
    },
  ],
};
const PLAIN = [
  '7|2|PENDING|JobArrayTaskLimit||a',
  '7|3|PENDING|JobArrayTaskLimit||a',
  '7|4|PENDING|JobArrayTaskLimit||a',
  '7|0|RUNNING|None|n1|a',
  '8|N/A|RUNNING|None|n1|',
  '',
].join('\n');

test('JSON of two versions and plain text tell the same of an array', () => {
  const shortly = (entries: ReturnType<typeof parseQueuePlain>) =>
    entries.map(({ job, index, state, reason, nodes, comment }) => [
      job,
      index,
      state,
      reason,
      nodes,
      comment,
    ]);
  const expected = [
    ...[2, 3, 4].map((index) => [7, index, 'pending', 'JobArrayTaskLimit', '', 'a']),
    [7, 0, 'running', '', 'n1', 'a'],
  ];
  assert.deepEqual(shortly(parseQueueJson(JSON.stringify(OLD), 'mine')), expected);
  assert.deepEqual(shortly(parseQueueJson(JSON.stringify(NEW), 'mine')), expected);
  assert.deepEqual(shortly(parseQueuePlain(PLAIN)), expected);
  assert.throws(() => parseQueueJson('{}', 'mine'), SyntaxError);
  assert.deepEqual(parseQueuePlain('7|1|NODE_FAIL|NodeDown|n2|a')[0]?.state, 'ended');
});

test('lists of numbers are read, and reasons that stay are told from those that pass', () => {
  assert.deepEqual(indicesIn('1-3,7%4'), [1, 2, 3, 7]);
  assert.deepEqual(indicesIn('0-8:4'), [0, 4, 8]);
  assert.deepEqual(indicesIn(''), []);
  assert.equal(lastingReason('PartitionTimeLimit'), '"time"');
  for (const reason of ['Resources', 'Priority', 'BeginTime', 'JobArrayTaskLimit'])
    assert.equal(lastingReason(reason), null);
});

test('places of an array that has ended are free for the next', () => {
  const task = { cell: 'c', step: null, title: 't' };
  const submission = {
    ...{ token: 'a', submittedAt: new Date().toISOString(), job: 7, limit: 2, cancelledAt: null },
    ...{ version: 1 as const, tasks: [task, task, task] },
  };
  const entry = { job: 7, state: 'running', word: 'RUNNING', reason: '', nodes: 'n', comment: 'a' } as const;
  const of = (indices: readonly number[]) =>
    freePlaces(
      4,
      liveTasks(
        [submission],
        indices.map((index) => ({ ...entry, index })),
      ),
    );
  assert.equal(of([0, 1, 2]), 2, 'three tasks run two at a time');
  assert.equal(of([2]), 3);
  assert.equal(of([]), 4);
});

test('the script hands each task its words, passes signals on, and asks for another go at 75', () => {
  const program = join(folder, 'a program.sh');
  // It stops at SIGUSR2 as a step does, and says what it was given.
  writeFileSync(
    program,
    '#!/bin/bash\ntrap \'echo stopped; kill $!; exit 75\' USR2\necho "$@"\nkill -USR2 $PPID\nsleep 20 & wait\n',
    { mode: 0o755 },
  );
  const requeue = join(folder, 'scontrol');
  writeFileSync(requeue, '#!/bin/bash\necho "scontrol $*"\n', { mode: 0o755 });
  const text = scriptOf({
    ...{ name: 'n', comment: 'c', log: '/x/a b_%a.log', minutes: 15, memory: 768 },
    cluster: clusterSchema.parse({ partition: 'main', setup: ['echo "set up"'], options: ['--exclusive'] }),
    places: [folder],
    command: [program, "it's"],
    tasks: [
      ['--cell', 'a'],
      ['--cell', 'b', '--step', 's'],
    ],
  });
  assert.match(text, /^#SBATCH --partition=main$/m);
  assert.match(text, /^#SBATCH --mem=768M$/m);
  assert.match(text, /^#SBATCH '--output=\/x\/a b_%a\.log'$/m);
  const script = join(folder, 'script.sh');
  writeFileSync(script, `${text.replace('exit "$code"', 'echo "code $code"')}`);
  const env = { PATH: `${folder}:${process.env.PATH}`, SLURM_ARRAY_TASK_ID: '1', SLURM_ARRAY_JOB_ID: '9' };
  const said = execFileSync('bash', [script], { encoding: 'utf8', env });
  assert.deepEqual(said.trim().split('\n'), [
    'set up',
    "it's --cell b --step s",
    'stopped',
    'scontrol requeue 9_1',
    'code 75',
  ]);
});

test('ranks are tasks of one job, which a launcher starts with their processors', () => {
  const job = {
    ...{ name: 'n', comment: 'c', log: '/x/%a.log', minutes: 15, memory: 768, places: [folder] },
    command: ['/bin/echo', 'rank'],
    tasks: [['--cell', 'a']],
  };
  // Stands for srun: it tells what it would take from its environment.
  const launcher = 'env -u OTHER bash -c \'echo "$SRUN_CPUS_PER_TASK $SLURM_WAIT: $*"\' -';
  const text = scriptOf({ ...job, cluster: clusterSchema.parse({ ranks: 3, cpus: 2, launcher }) });
  assert.match(text, /^#SBATCH --ntasks=3\n#SBATCH --ntasks-per-node=1\n#SBATCH --cpus-per-task=2$/m);
  const script = join(folder, 'ranks.sh');
  writeFileSync(script, text);
  const env = { PATH: process.env.PATH, SLURM_ARRAY_TASK_ID: '0', SLURM_CPUS_PER_TASK: '2' };
  const said = (more: object) =>
    execFileSync('bash', [script], { encoding: 'utf8', env: { ...env, ...more } }).trim();
  assert.equal(said({}), '2 10: /bin/echo rank --cell a');
  assert.equal(said({ SLURM_WAIT: '60' }), '2 60: /bin/echo rank --cell a');
  const alone = scriptOf({ ...job, cluster: clusterSchema.parse({ launcher }) });
  assert.match(alone, /^#SBATCH --ntasks=1$/m);
  assert.match(alone, /^\/bin\/echo rank \$words &$/m);
});

test('what a job of several ranks asks for is said of each node', () => {
  const preview = { jobs: ['a'], open: 1, waiting: 0, command: ['sbatch'], script: '' };
  const said = jobsText(
    { ...preview, demand: { minutes: 20, memory: 768 } },
    clusterSchema.parse({ ranks: 4, cpus: 2 }),
  );
  assert.match(
    said,
    /^Each job asks for 4 nodes, on each 2 processors and 768 MiB of memory, and 20 min\.$/m,
  );
});

test('a file of a cluster may have comments, and faults are told with their keys', async () => {
  const path = join(folder, 'cluster.json');
  writeFileSync(path, '{ "scheduler": "slurm", "memory": "8G", /* nights */ "maxJobs": 2, }');
  assert.equal((await readClusterFile(path)).maxJobs, 2);
  writeFileSync(path, '{ "partitoin": "x", "time": "soon" }');
  await assert.rejects(readClusterFile(path), /time: .*partitoin/s);
  writeFileSync(path, '{ "time": ');
  await assert.rejects(readClusterFile(path), /is no JSON/);
});
