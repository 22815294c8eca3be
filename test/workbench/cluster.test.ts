/** A table of the editor on a real Slurm of two virtual nodes. */
import { test } from 'node:test';
import { VirtualCluster, whyNoSlurm } from '../cluster/virtual-cluster.ts';
import { HOST_SIZE } from './rig/experiment.ts';
import { reasonToSkip } from './rig/rig.ts';
import { createWorkspace } from './rig/workspace.ts';
import { cancelOnCluster, fillOnCluster, runOnCluster, watchJob } from './ui/cluster.ts';
import { startSession } from './ui/session.ts';
import { tellStory } from './ui/story.ts';

test('a table on a cluster, in the workbench', async (t) => {
  const reason = (await whyNoSlurm()) ?? (await reasonToSkip());
  if (reason) return t.skip(reason);
  const cluster = await VirtualCluster.start();
  t.after(() => cluster.stop());
  await tellStory(
    t,
    [
      ['an experiment that is no table is a job', runOnCluster],
      ['the lens hands the cells to the cluster, and the table fills', fillOnCluster],
      ['the run of a job is drawn', watchJob],
      ['who cancels means the jobs', (session) => cancelOnCluster(session, cluster)],
    ],
    () => startSession(createWorkspace(HOST_SIZE), cluster.env),
  );
});
