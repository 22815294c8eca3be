/** The door of this folder. Every part is loaded when it is first asked for. */
import type { Cluster, ResolvedExperiment } from '../../../config/index.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { MatrixResult } from '../matrix/run-matrix.ts';
import type { JobStatus } from './jobs.ts';
import type { ClusterPreview } from './preview.ts';
import type { TaskOptions, TaskRequest, TaskResult } from './run-task.ts';
import type { ClusterOptions } from './watch.ts';

export type { JobStatus } from './jobs.ts';
export type { ClusterPreview } from './preview.ts';
export type { TaskOptions, TaskRequest, TaskResult } from './run-task.ts';
export type { ClusterOptions } from './watch.ts';

/** Fills a matrix on a cluster: ready steps become jobs, and are watched. An abort leaves the jobs alone. */
export async function* fillOnCluster(
  experiment: ResolvedExperiment,
  cluster: Cluster,
  options: ClusterOptions,
): AsyncGenerator<RunEvent, MatrixResult> {
  return yield* (await import('./watch.ts')).fillOnCluster(experiment, cluster, options);
}

/** The run of an experiment that is no table. @throws UserError `cluster/failed` in the words of its job. */
export function onlyRun({ cells }: MatrixResult): string {
  const [cell] = cells;
  if (cell?.run && cell.status === 'finished') return cell.run;
  throw new UserError('cluster/failed', cell?.message ?? 'The job left no numbers.');
}

/** What would be handed to the cluster now. */
export async function* previewCluster(
  experiment: ResolvedExperiment,
  cluster: Cluster,
  options: ClusterOptions,
): AsyncGenerator<RunEvent, ClusterPreview> {
  return yield* (await import('./preview.ts')).previewCluster(experiment, cluster, options);
}

/** A step of a cell inside a job of the cluster, and what the cell lacks beside it. */
export async function* runTask(
  experiment: ResolvedExperiment,
  request: TaskRequest,
  options: TaskOptions,
): AsyncGenerator<RunEvent, TaskResult> {
  return yield* (await import('./run-task.ts')).runTask(experiment, request, options);
}

/** The jobs of an experiment that are in the queue of the cluster. */
export async function clusterJobs(experiment: ResolvedExperiment): Promise<JobStatus[]> {
  return (await import('./jobs.ts')).clusterJobs(experiment);
}

/** Ends these jobs. What their steps kept stays. @returns those that there were. */
export async function cancelCluster(experiment: ResolvedExperiment): Promise<JobStatus[]> {
  return (await import('./jobs.ts')).cancelCluster(experiment);
}
