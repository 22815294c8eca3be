/** What would be handed to the cluster, and nothing is. */
import type { Cluster, ResolvedExperiment } from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import { submitArguments } from '../../scheduler/slurm.ts';
import { runJob } from '../job.ts';
import { stepsFolder } from '../matrix/steps-folder.ts';
import { Places } from '../places.ts';
import { StepStore } from '../step-store.ts';
import { chooseTasks } from './choose-tasks.ts';
import { type Demand, demandOf } from './demand.ts';
import { ClusterFolder } from './folder.ts';
import { scriptFor } from './submit.ts';
import { placesOf, survey } from './survey.ts';
import type { ClusterOptions } from './watch.ts';

export interface ClusterPreview {
  /** Titles of the jobs of the first array, in the order of their numbers. */
  readonly jobs: readonly string[];
  /** Cells of the table that lack their numbers. */
  readonly open: number;
  /** Cells that wait for a step of another: they become jobs when it is there. */
  readonly waiting: number;
  /** What a job asks for where "time" and "memory" are not set. */
  readonly demand: Demand;
  /** The command that would submit them; empty where there is nothing to do. */
  readonly command: readonly string[];
  readonly script: string;
}

export async function* previewCluster(
  experiment: ResolvedExperiment,
  cluster: Cluster,
  options: ClusterOptions,
): AsyncGenerator<RunEvent, ClusterPreview> {
  const store = new StepStore(stepsFolder(experiment), 'leave');
  const places = new Places(null, [], experiment.runs);
  const setting = { job: 'inspect' as const, experiment, options, places, run: null };
  return yield* runJob(setting, async function* (bench) {
    const { signal, program, kernels } = options;
    const cells = yield* placesOf(bench, experiment, store, signal);
    const standings = yield* survey(bench, cells, store, new Set(), signal);
    const demand = await demandOf(bench, store, standings);
    const tasks = chooseTasks(standings, { cells: new Set(), steps: new Set() });
    const folder = new ClusterFolder(experiment);
    const handing = { experiment, cluster, folder, program, kernels, demand };
    const open = standings.filter(({ place, isFinished }) => !isFinished && place.obstacle === null).length;
    const limit = Math.min(cluster.maxJobs, tasks.length);
    return {
      jobs: tasks.map(({ title }) => title),
      open,
      waiting: open - tasks.length,
      demand,
      command: tasks.length === 0 ? [] : ['sbatch', ...submitArguments('SCRIPT', tasks.length, limit)],
      script: tasks.length === 0 ? '' : scriptFor(handing, { token: 'TOKEN', tasks }),
    };
  });
}
