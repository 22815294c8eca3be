/** Jobs are cancelled while others hand them over. The programs of Slurm are scripts that keep a queue in a folder. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterSchema, experimentOfText } from '../../src/config/index.ts';
import { ClusterFolder } from '../../src/engine/plan/cluster/folder.ts';
import { cancelCluster } from '../../src/engine/plan/cluster/jobs.ts';
import { waitForFolder } from '../../src/engine/plan/cluster/lock.ts';
import { giveFreePlaces, liveTasks, submitTasks } from '../../src/engine/plan/cluster/submit.ts';
import { takeLockIfFree } from '../../src/runs/index.ts';

const skip = process.platform === 'win32' && 'the programs are shell scripts';
const place = mkdtempSync(join(tmpdir(), 'spinquant-cancel-'));
const [bin, state] = [join(place, 'bin'), join(place, 'state')];
const before = process.env.PATH;
after(() => {
  process.env.PATH = before;
  rmSync(place, { recursive: true, force: true });
});

const experiment = experimentOfText(
  JSON.stringify({ model: 'model', runs: join(place, 'runs') }),
  join(place, 'a.spinquant.json'),
);
const folder = new ClusterFolder(experiment);
const handing = {
  ...{ experiment, folder, program: ['spinquant'], kernels: undefined },
  ...{ cluster: clusterSchema.parse({}), demand: { memory: 100, minutes: 1 } },
};
const tasks = ['one', 'two'].map((title) => ({ cell: title, step: null, title }));
const all = () => ({ tasks, limit: 1 });

/** The queue gets the comment of the script, which is its token. */
const PROGRAMS = {
  sbatch: `touch ${state}/asked; while [ -e ${state}/hold ]; do sleep 0.05; done
for last; do :; done
token=$(sed -n 's/^#SBATCH --comment=//p' "$last")
for index in 0 1; do echo "12|$index|PENDING|Priority||$token"; done > ${state}/queue; echo 12`,
  squeue: `echo x >> ${state}/questions; case "$1" in --json) exit 1;; esac; cat ${state}/queue`,
  scancel: `echo "$@" >> ${state}/cancelled`,
  scontrol: `echo "$@" >> ${state}/updated`,
};

beforeEach(() => {
  for (const each of [bin, state, folder.path]) rmSync(each, { recursive: true, force: true });
  for (const each of [bin, state]) mkdirSync(each);
  writeFileSync(join(state, 'queue'), '');
  for (const [name, text] of Object.entries(PROGRAMS))
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  process.env.PATH = `${bin}${delimiter}${before}`;
});

const said = (name: string): string[] => {
  const path = join(state, name);
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
};

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10);
}

test('jobs that sbatch is taking as they are cancelled are ended, too', { skip }, async () => {
  await folder.make();
  writeFileSync(join(state, 'hold'), '');
  const submitted = submitTasks(handing, all);
  await until(() => existsSync(join(state, 'asked')));
  const cancelled = cancelCluster(experiment);
  await sleep(300);
  rmSync(join(state, 'hold'));
  assert.equal((await submitted)?.job, 12);
  assert.deepEqual(
    (await cancelled).map(({ job, state: now }) => [job, now]),
    [
      ['12_0', 'pending'],
      ['12_1', 'pending'],
    ],
  );
  assert.deepEqual(said('cancelled'), ['--quiet 12']);
  const [written] = await folder.submissions();
  assert.equal(written?.job, 12);
  assert.notEqual(written?.cancelledAt, null, 'its watcher finds that out');
});

test('what is cancelled is what one look at the queue shows', { skip }, async () => {
  await folder.make();
  await submitTasks(handing, all);
  await cancelCluster(experiment);
  rmSync(join(state, 'questions'));
  assert.equal((await cancelCluster(experiment)).length, 2);
  assert.equal(said('questions').length, 1);
});

test('free places are given by what submissions say now, and none to cancelled jobs', { skip }, async () => {
  await folder.make();
  const submitted = await submitTasks(handing, all);
  assert.ok(submitted);
  const entry = { job: 12, state: 'running', word: 'RUNNING', reason: '', nodes: 'n' } as const;
  const queue = [0, 1].map((index) => ({ ...entry, index, comment: submitted.token }));
  const live = liveTasks([submitted], queue);
  await giveFreePlaces(handing, live);
  assert.deepEqual(said('updated'), ['update JobId=12 ArrayTaskThrottle=2']);
  await giveFreePlaces(handing, live);
  assert.equal(said('updated').length, 1, 'the places that it has are not given again');
  await cancelCluster(experiment);
  const [cancelled] = await folder.submissions();
  folder.writeSubmission({ ...cancelled!, limit: 1 });
  await giveFreePlaces(handing, live);
  assert.equal(said('updated').length, 1);
  assert.notEqual((await folder.submissions())[0]?.cancelledAt, null);
});

test('a number that a killed watcher did not write is taken from the queue', { skip }, async () => {
  await folder.make();
  const submitted = await submitTasks(handing, all);
  folder.writeSubmission({ ...submitted!, job: null });
  await cancelCluster(experiment);
  assert.deepEqual(said('cancelled'), ['--quiet 12']);
});

test('where nothing was handed over, cancelling leaves no folder', { skip }, async () => {
  assert.deepEqual(await cancelCluster(experiment), []);
  assert.equal(existsSync(folder.path), false);
});

test('a folder that stays in use is told', async () => {
  await folder.make();
  const lock = takeLockIfFree(folder.path);
  await assert.rejects(waitForFolder(folder, 0), { code: 'cluster/busy', message: /is in use/ });
  lock?.release();
  (await waitForFolder(folder, 0)).release();
});
