/** What commands that know a cluster have in common. */
import { resolve } from 'node:path';
import { type Cluster, clusterSchema, type ResolvedExperiment, readClusterFile } from '../config/index.ts';
import type { ClusterPreview } from '../engine/index.ts';
import { formatCount } from '../protocol/text.ts';

interface ClusterFlags {
  /** It is true for `--cluster` without a file. */
  readonly cluster?: string | true;
  readonly local?: boolean;
}

/**
 * The cluster that work goes to: that of the option, else the experiment's own. An option is enough of a wish: a
 * scheduler need not be named.
 * @returns null where this machine computes. @throws UserError `cluster/file`.
 */
export async function clusterOf(
  experiment: ResolvedExperiment,
  { cluster, local }: ClusterFlags,
): Promise<Cluster | null> {
  if (local) return null;
  const own = experiment.cluster ?? null;
  if (cluster === undefined && own?.scheduler !== 'slurm') return null;
  const found =
    typeof cluster === 'string' ? await readClusterFile(cluster) : (own ?? clusterSchema.parse({}));
  return { ...found, scheduler: 'slurm' };
}

/** This program, as a node starts it from the shared disk. */
export function ownProgram(): string[] {
  return [process.execPath, ...process.execArgv, resolve(process.argv[1] ?? '')];
}

export function jobsText(
  { jobs, open, waiting, demand, command, script }: ClusterPreview,
  cluster: Cluster,
): string {
  if (open === 0) return 'Nothing is left to run.';
  const { cpus, ranks, maxJobs } = cluster;
  const time = cluster.time ?? `${demand.minutes} min`;
  const memory = cluster.memory ?? `${demand.memory} MiB`;
  const later = waiting === 0 ? [] : [`${formatCount(waiting, 'cell')} more wait for steps of these.`];
  return [
    `${formatCount(open, 'cell')} to fill, with ${formatCount(jobs.length, 'job')} now, at most ${maxJobs} at once:`,
    ...jobs.map((title, index) => `  ${index}  ${title}`),
    ...later,
    ranks === 1
      ? `Each job asks for ${formatCount(cpus, 'processor')}, ${memory} of memory and ${time}.`
      : `Each job asks for ${formatCount(ranks, 'node')}, on each ${formatCount(cpus, 'processor')} and ${memory} of memory, and ${time}.`,
    '',
    `Command: ${command.join(' ')}`,
    'SCRIPT:',
    script,
  ].join('\n');
}
