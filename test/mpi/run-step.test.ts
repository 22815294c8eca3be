/** A job of the cluster as two ranks: a warning that only one of them gets. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { clusterCells } from '../../src/config/index.ts';
import { loadExperiment } from '../../src/engine/index.ts';
import { checkpointStep } from '../../src/engine/plan/learning-checkpoint.ts';
import { listRuns } from '../../src/runs/index.ts';
import { makeWorkspace } from '../crash/workspace.ts';
import { demoFolder } from '../helpers/demo-runs.ts';
import { launch, type MpiName, ranksOf, reasonToSkip } from './launch.ts';

const skip = reasonToSkip('Open MPI', 'MPICH');
const folder = demoFolder();

for (const [mpi, warned] of [
  ['MPICH', 1],
  ['Open MPI', 0],
] as const satisfies readonly (readonly [MpiName, number])[])
  test(`${mpi}: a warning to rank ${warned} alone lets both end at 75, with the last step kept`, {
    skip,
  }, async () => {
    const place = join(folder, mpi.replace(' ', ''));
    await makeWorkspace(place);
    const file = join(place, 'gptq.spinquant.json');
    const whole = JSON.parse(readFileSync(file, 'utf8')) as object;
    // Longer than any test waits.
    writeFileSync(
      file,
      JSON.stringify({ ...whole, rotation: { learning: { steps: 50_000, batchSize: 2 } } }),
    );
    const [cell] = clusterCells(await loadExperiment(file, 'optimize'));
    let isWarned = false;
    const watch = (stderr: string) => {
      if (isWarned || !stderr.includes('step 1/')) return;
      const rank = ranksOf(file).find((one) => one.rank === warned);
      if (!rank) return;
      process.kill(rank.pid, 'SIGUSR2');
      isWarned = true;
    };
    const { code, stderr } = await launch({ mpi, ranks: 2, watch }, ['run-step', file, '--cell', cell!.key]);
    assert.equal(code, 75, stderr);
    const { runs } = await listRuns(join(place, 'runs'));
    assert.equal(runs.length, 1, 'ranks leave nothing');
    const [run] = runs;
    assert.equal(run!.record.status, 'interrupted');
    const steps = (await run!.readEvents()).filter(({ type }) => type === 'step').length;
    assert.ok(steps > 0 && checkpointStep(run!.path('checkpoint')) === steps);
  });
