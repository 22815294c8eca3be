import { experimentOfText, readExperimentText } from '../../config/index.ts';
import type { JobStatus } from '../../engine/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { formatCount } from '../../protocol/text.ts';
import { loadEngine } from '../engine.ts';
import type { Output } from '../output.ts';
import { formatTable } from '../table.ts';

const ACTIONS: readonly string[] = ['status', 'cancel'];

/** Jobs of an experiment in the queue. The model and the texts may be gone. */
export async function cluster(action: string, file: string, output: Output): Promise<undefined> {
  if (!ACTIONS.includes(action))
    throw new UserError(
      'cli/cluster-action',
      `"${action}" is no action; allowed: ${ACTIONS.join(', ')}.`,
      '`spinquant cluster status FILE` lists jobs, `spinquant cluster cancel FILE` ends them.',
    );
  const experiment = experimentOfText(await readExperimentText(file), file);
  const engine = await loadEngine();
  const cancels = action === 'cancel';
  const jobs = cancels ? await engine.cancelCluster(experiment) : await engine.clusterJobs(experiment);
  output.document({ jobs });
  if (jobs.length === 0) output.result('No job of this experiment is in the queue.');
  else if (cancels)
    output.result(`${formatCount(jobs.length, 'job')} cancelled. What was done so far is kept.`);
  else output.result(statusTable(jobs));
}

function statusTable(jobs: readonly JobStatus[]): string {
  const rows = jobs.map(({ job, title, state, reason, nodes }) => [
    job,
    title,
    reason === '' ? state : `${state} (${reason})`,
    nodes,
  ]);
  return formatTable(['job', 'task', 'state', 'node'], rows, ['left', 'left', 'left', 'left']);
}
