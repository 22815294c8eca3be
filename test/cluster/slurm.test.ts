/** A table on a real Slurm of two virtual nodes: a lost node, a warning and a killed watcher leave every number alone. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadExperiment } from '../../src/engine/index.ts';
import { collectCells, listRuns } from '../../src/runs/index.ts';
import { spinquant } from '../cli/spinquant.ts';
import { MATRIX_FILE, makeWorkspace } from '../crash/workspace.ts';
import { launch, ranksOf, reasonToSkip } from '../mpi/launch.ts';
import { NODES, type NodeName, VirtualCluster, whyNoSlurm } from './virtual-cluster.ts';

const skip = (await whyNoSlurm()) ?? false;
const folder = mkdtempSync(join(tmpdir(), 'spinquant-cluster-'));
const FILE = 'table.spinquant.json';
/** Seconds of learning, so that a warning comes in the middle. */
const STEPS = 1000;
const MOST_MS = 90_000;

let cluster: VirtualCluster | null = null;
const slurm = (): VirtualCluster => {
  assert.ok(cluster, 'the cluster is up');
  return cluster;
};
const onCluster = (...args: string[]) => spinquant(args, folder, () => {}, slurm().env);

function write(name: string, more: object): void {
  const whole = JSON.parse(readFileSync(join(folder, MATRIX_FILE), 'utf8')) as object;
  const matrix = { bits: ['4-4-4'], methods: ['rtn', 'gptq', 'spinquant-had-rtn', 'spinquant-had-gptq'] };
  const rotation = { learning: { steps: STEPS, batchSize: 2 } };
  const settings = { scheduler: 'slurm', cpus: 1, memory: '500M', time: '5', maxJobs: 4 };
  writeFileSync(
    join(folder, name),
    JSON.stringify({ ...whole, matrix, rotation, cluster: settings, ...more }),
  );
}

before(
  async () => {
    if (skip) return;
    await makeWorkspace(folder);
    write(FILE, { runs: 'cluster-runs' });
    write('local.spinquant.json', { runs: 'local-runs' });
    cluster = await VirtualCluster.start();
  },
  { timeout: 600_000 },
);
after(async () => {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

test('plan prints jobs, what they ask for and the script, and submits nothing', { skip }, async () => {
  const { stdout, stderr, code } = await onCluster('plan', FILE, '--cluster');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^5 cells to fill, with \d jobs now, at most 4 at once:$/m);
  assert.match(stdout, /^Each job asks for 1 processor, 500M of memory and 5\.$/m);
  assert.match(stdout, /^Command: sbatch --parsable --array=0-\d%4 SCRIPT$/m);
  assert.match(stdout, /^#SBATCH --signal=B:USR2@/m);
  assert.match(stdout, /^ {2}'--cell [0-9a-f]{32} --step [0-9a-f]{16}'$/m);
  assert.equal((await slurm().slurm('squeue', '--noheader')).trim(), '');
  assert.ok(!existsSync(join(folder, 'cluster-runs', '.cluster')), 'nothing is written');
});

test('what sbatch refuses is told in its own words, with what to do', { skip }, async () => {
  const refusal = async (settings: object): Promise<string> => {
    write('refused.spinquant.json', {
      cluster: { scheduler: 'slurm', cpus: 1, memory: '100M', ...settings },
    });
    const { code, stderr } = await onCluster('optimize', 'refused.spinquant.json');
    assert.equal(code, 1);
    return stderr;
  };
  assert.match(
    await refusal({ partition: 'gpu' }),
    /sbatch refused the jobs: invalid partition.*gpu.*\n.*sinfo/i,
  );
  assert.match(await refusal({ time: '2-00:00:00' }), /sbatch refused the jobs: .*time limit.*\n.*"time"/i);
  assert.match(
    await refusal({ memory: '90G' }),
    /sbatch refused the jobs: .*(memory|node configuration).*\n.*"memory"/i,
  );
  const { stderr } = await spinquant(['optimize', FILE], folder, () => {}, { PATH: '/nowhere' });
  assert.match(stderr, /(squeue|sbatch) was not found: .* Slurm/);
});

test('a lost node, a warning and a killed watcher leave the table as it is without a cluster', {
  skip,
}, async () => {
  const local = spinquant(['optimize', 'local.spinquant.json', '--local'], folder);
  // The first watcher is killed as soon as it has submitted.
  const killed = await spinquant(
    ['optimize', FILE],
    folder,
    (child) =>
      child.stderr?.on('data', (text) => String(text).includes('Submitted') && child.kill('SIGKILL')),
    slurm().env,
  );
  assert.equal(killed.signal, 'SIGKILL');
  const watched = onCluster('optimize', FILE);
  // Slurm's warning before the end of the time, to every job, while one learns.
  await until('a job learns', async () => isLearning('cluster-runs'));
  // One that has just ended cannot be warned.
  for (const { job } of await runningJobs())
    await slurm()
      .slurm('scancel', '--batch', '--signal=USR2', job)
      .catch(() => '');
  await until('a job was warned', async () =>
    /The time of the job is nearly over\. What was/.test(readLogs()),
  );
  // What was warned is requeued. One of the nodes on which jobs run again is lost.
  await until('a job runs again', async () => (await runningJobs()).some(({ restarts }) => restarts > 0));
  const [again] = (await runningJobs()).filter(({ restarts }) => restarts > 0);
  await slurm().killNode(again!.node);
  const { code, stderr } = await watched;
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /failed/);
  assert.equal((await local).code, 0);
  assert.deepEqual(await numbersOf(FILE), await numbersOf('local.spinquant.json'));
  await until('the queue is empty', hasNoJobs);
});

test('a job that Slurm requeues behind the end of its cell is taken out of the queue', { skip }, async () => {
  // A requeued job waits for seconds at least, as one that lost its node does.
  const list = await slurm().slurm('squeue', '--noheader', '--array', '--states=COMPLETED', '--format=%F_%K');
  const [job] = list.split('\n');
  await slurm().slurm('scontrol', 'requeue', job!);
  assert.equal(await hasNoJobs(), false);
  const { code, stderr } = await onCluster('optimize', FILE);
  assert.equal(code, 0, stderr);
  assert.equal(await hasNoJobs(), true);
});

test('an experiment without a matrix runs on two nodes by MPI, and a rank that is killed changes no bit', {
  skip: skip || reasonToSkip('MPICH'),
}, async () => {
  const wanted = single('mpirun', {});
  const together = await launch({ mpi: 'MPICH', ranks: 2 }, ['optimize', join(folder, wanted), '--local']);
  assert.equal(together.code, 0, together.stderr);
  await slurm().mend();
  // What srun waits for ranks that are left.
  const ranks = { ranks: 2, launcher: 'srun --mpi=pmi2', setup: ['export SLURM_WAIT=1'] };
  const file = single('ranks', { scheduler: 'slurm', cpus: 1, memory: '500M', time: '5', ...ranks });
  const watched = onCluster('optimize', file);
  await until('the ranks learn', async () => isLearning('runs-ranks'));
  const victim = ranksOf(join(folder, file)).find(({ rank }) => rank === 1);
  process.kill(victim!.pid, 'SIGKILL');
  const { code, stdout, stderr } = await watched;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Its job was killed.*on lab\[1-2\]/);
  assert.match(stdout, /^short .*\n/m);
  assert.deepEqual(await onlyResults('runs-ranks'), await onlyResults('runs-mpirun'));
  const hidden = readdirSync(join(folder, 'runs-ranks')).filter((name) => name.startsWith('.rounded'));
  assert.deepEqual(hidden, [], 'ranks leave nothing');
});

function single(name: string, cluster: object): string {
  const whole = JSON.parse(readFileSync(join(folder, 'gptq.spinquant.json'), 'utf8')) as object;
  const rotation = { learning: { steps: 120, batchSize: 2 } };
  const file = `${name}.spinquant.json`;
  writeFileSync(join(folder, file), JSON.stringify({ ...whole, rotation, cluster, runs: `runs-${name}` }));
  return file;
}

async function onlyResults(runs: string): Promise<unknown> {
  const [run, ...others] = (await listRuns(join(folder, runs))).runs;
  assert.deepEqual(others, []);
  const { loss, perplexity, orthogonalityError } = await run!.readResults();
  return { loss, perplexity, orthogonalityError };
}

/** Everything of a table that is measured, exact. */
async function numbersOf(file: string): Promise<unknown> {
  const cells = await collectCells(await loadExperiment(join(folder, file), 'optimize'));
  assert.equal(cells.length, 5);
  return cells.map(({ bits, method, seed, status, results }) => ({
    ...{ bits, method, seed, status },
    perplexity: results?.perplexity,
    loss: results?.loss,
  }));
}

async function hasNoJobs(): Promise<boolean> {
  const { stdout } = await onCluster('cluster', 'status', FILE);
  return stdout.includes('No job of this experiment is in the queue.');
}

interface RunningJob {
  readonly job: string;
  readonly node: NodeName;
  readonly restarts: number;
}

async function runningJobs(): Promise<RunningJob[]> {
  const format = '--Format=ArrayJobID:12,ArrayTaskID:12,NodeList:12,RestartCnt:12';
  const list = await slurm().slurm('squeue', '--noheader', '--array', '--states=RUNNING', format);
  return list.split('\n').flatMap((line): RunningJob[] => {
    const [array, index, name, restarts] = line.trim().split(/ +/);
    const node = NODES.find((one) => one === name);
    return node ? [{ job: `${array}_${index}`, node, restarts: Number(restarts) }] : [];
  });
}

function isLearning(place: string): boolean {
  const runs = join(folder, place);
  if (!existsSync(runs)) return false;
  const logs = readdirSync(runs).map((run) => join(runs, run, 'events.jsonl'));
  return logs.some((log) => existsSync(log) && readFileSync(log, 'utf8').includes('"type":"step"'));
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + MOST_MS;
  while (!(await isSo())) {
    assert.ok(Date.now() < end, `${what}\n${readLogs().slice(-3000)}`);
    await sleep(100);
  }
}

function readLogs(): string {
  const place = join(folder, 'cluster-runs', '.cluster');
  if (!existsSync(place)) return '';
  const logs = readdirSync(place).flatMap((name) =>
    readdirSync(join(place, name, 'logs')).map((log) => join(place, name, 'logs', log)),
  );
  return logs.map((log) => readFileSync(log, 'utf8')).join('\n');
}
