/** A Slurm cluster of two nodes on this machine: one controller, and two daemons that each take themselves for a node. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const NODES = ['lab1', 'lab2'] as const;
export type NodeName = (typeof NODES)[number];

/** Packages of Debian with the daemons and the programs of Slurm. */
const PACKAGES = ['slurmctld', 'slurmd', 'slurm-client'];
/** Debian has daemons where only root looks. */
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const READY_MS = 30_000;

/** Installs Slurm where CI lacks it. @returns why there is none; null where there is. */
export async function whyNoSlurm(): Promise<string | null> {
  if (isHere()) return null;
  const why = 'there is no slurmctld, slurmd and sbatch (Debian: slurmctld slurmd slurm-client)';
  if (process.env.CI !== 'true') return why;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const wait = ['-o', 'DPkg::Lock::Timeout=300'];
  await run('apt-get', ['update', ...wait], { env, maxBuffer: 2 ** 26 });
  const install = ['install', '--yes', '--no-install-recommends', ...wait, ...PACKAGES];
  await run('apt-get', install, { env, maxBuffer: 2 ** 26 });
  if (!isHere()) throw new Error(`apt-get installed ${PACKAGES.join(', ')}, but ${why}`);
  return null;
}

function isHere(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const folders = PATH.split(':');
  return ['slurmctld', 'slurmd', 'sbatch'].every((name) =>
    folders.some((folder) => existsSync(join(folder, name))),
  );
}

export class VirtualCluster {
  readonly folder: string;
  readonly #daemons: ChildProcess[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Environment of programs that are to find this cluster. */
  get env(): { readonly SLURM_CONF: string; readonly PATH: string } {
    return { SLURM_CONF: join(this.folder, 'slurm.conf'), PATH };
  }

  static async start(): Promise<VirtualCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'spinquant-slurm-'));
    const cluster = new VirtualCluster(folder);
    for (const name of ['state', ...NODES]) mkdirSync(join(folder, name));
    const ports = await freePorts(1 + NODES.length);
    writeFileSync(cluster.env.SLURM_CONF, configuration(folder, ports));
    try {
      cluster.#daemon('slurmctld', ['-D', '-c']);
      for (const node of NODES) cluster.startNode(node);
      await cluster.#untilIdle();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  startNode(node: NodeName): void {
    this.#daemon('slurmd', ['-D', '-N', node]);
  }

  async slurm(program: string, ...args: string[]): Promise<string> {
    return (await run(program, args, { env: { ...process.env, ...this.env } })).stdout;
  }

  /** Kills all that runs on a node, as a power cut does, and tells the controller what it would find out by itself. */
  async killNode(node: NodeName): Promise<void> {
    // The daemon first: else it tells the controller how its jobs ended.
    for (const daemon of this.#daemons) if (daemon.spawnargs.includes(node)) daemon.kill('SIGKILL');
    const own = processesOf(node);
    for (const pid of [...stepDaemonsOf(own), ...own]) killQuietly(pid);
    await this.slurm('scontrol', 'update', `NodeName=${node}`, 'State=DOWN', 'Reason=lost');
  }

  /** Starts the nodes that were killed, and waits for all of them. */
  async mend(): Promise<void> {
    const alive = this.#daemons.filter(
      ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
    );
    for (const node of NODES)
      if (!alive.some(({ spawnargs }) => spawnargs.includes(node))) this.startNode(node);
    await this.#untilIdle();
  }

  async stop(): Promise<void> {
    await this.slurm('scancel', '--quiet', '--state=RUNNING').catch(() => '');
    await this.slurm('scancel', '--quiet', '--state=PENDING').catch(() => '');
    for (const node of NODES) {
      const own = processesOf(node);
      for (const pid of [...stepDaemonsOf(own), ...own]) killQuietly(pid);
    }
    for (const daemon of this.#daemons) daemon.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  #daemon(program: string, args: readonly string[]): void {
    const env = { ...process.env, ...this.env };
    this.#daemons.push(spawn(program, args, { env, stdio: 'ignore' }));
  }

  async #untilIdle(): Promise<void> {
    const end = Date.now() + READY_MS;
    for (;;) {
      const states = await this.slurm('sinfo', '--noheader', '--Node', '--format=%T').catch(() => '');
      if (
        states
          .trim()
          .split('\n')
          .filter((state) => state === 'idle').length === NODES.length
      )
        return;
      if (Date.now() > end) throw new Error(`The virtual cluster does not start: ${states}\n${this.#logs()}`);
      await sleep(200);
    }
  }

  #logs(): string {
    const names = readdirSync(this.folder).filter((name) => name.endsWith('.log'));
    return names
      .map((name) => `${name}:\n${readFileSync(join(this.folder, name), 'utf8').slice(-2000)}`)
      .join('\n');
  }
}

/** Short times, so that a lost node costs seconds. A job that is requeued waits as long as credentials last. */
function configuration(folder: string, [controller, ...nodes]: readonly number[]): string {
  return [
    'ClusterName=lab',
    `SlurmctldHost=${hostname()}(127.0.0.1)`,
    `SlurmctldPort=${controller}`,
    'SlurmUser=root',
    'SlurmdUser=root',
    'AuthType=auth/none',
    'AuthInfo=cred_expire=5',
    'CredType=cred/none',
    'CommunicationParameters=NoInAddrAny,NoCtldInAddrAny',
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_Core',
    'SwitchType=switch/none',
    'MpiDefault=none',
    'SlurmdParameters=config_overrides',
    `StateSaveLocation=${folder}/state`,
    `SlurmdSpoolDir=${folder}/%n`,
    // PMIx of a node keeps its files there, and two nodes would take the same.
    `TmpFS=${folder}/%n`,
    `SlurmctldPidFile=${folder}/slurmctld.pid`,
    `SlurmdPidFile=${folder}/%n.pid`,
    `SlurmctldLogFile=${folder}/slurmctld.log`,
    `SlurmdLogFile=${folder}/%n.log`,
    'SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1,sched_min_interval=0',
    'SlurmdTimeout=3',
    'KillWait=5',
    // A job that can never run is refused at once.
    'EnforcePartLimits=ALL',
    'ReturnToService=2',
    ...NODES.map(
      (node, at) =>
        `NodeName=${node} NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${nodes[at]} CPUs=2 RealMemory=4000 State=UNKNOWN`,
    ),
    `PartitionName=lab Nodes=${NODES.join(',')} Default=YES MaxTime=60 State=UP`,
    '',
  ].join('\n');
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  return servers.map((server) => {
    const address = server.address();
    server.close();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
}

/** Processes of the jobs on a node: Slurm writes its name into their environment. */
function processesOf(node: NodeName): number[] {
  return pids().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`\0SLURMD_NODENAME=${node}\0`);
    } catch {
      return false; // It has just ended.
    }
  });
}

/** Slurm starts a daemon for every job. */
function stepDaemonsOf(jobs: readonly number[]): number[] {
  return [...new Set(jobs.map(parentOf))].filter((pid) => {
    try {
      return pid !== null && readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('slurmstepd');
    } catch {
      return false;
    }
  }) as number[];
}

function parentOf(pid: number): number | null {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return null;
  }
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
