/**
 * This script makes a learning step for every line on stdin. It prints loss, gradient norm, seconds and CPU seconds.
 *
 *     node --import tsx bench/peers/our_steps.ts EXPERIMENT
 */
import { createInterface } from 'node:readline';
import { resolveExperiment } from '../../src/config/index.ts';
import { startingMaps } from '../../src/engine/plan/experiment-maps.ts';
import { learningNetwork } from '../../src/engine/plan/networks.ts';
import { calibrationBlocks, openWorkbench } from '../../src/engine/plan/workbench.ts';
import { learnRotations } from '../../src/engine/transform/learning/learner.ts';

const file = process.argv[2];
if (file === undefined) throw new Error('usage: our_steps.ts EXPERIMENT');
const experiment = await resolveExperiment(file, 'optimize');
const bench = await openWorkbench(experiment, {});
const { learning } = experiment.rotation;
const learner = learnRotations(
  bench.cache,
  learningNetwork(bench),
  { step: 0, state: startingMaps(experiment, bench.checkpoint.config) },
  await calibrationBlocks(bench),
  {
    steps: learning.steps,
    learningRate: learning.learningRate,
    schedule: learning.schedule,
    batchSize: learning.batchSize,
    microBatch: learning.microBatch ?? learning.batchSize,
    gradientClip: learning.gradientClip,
    optimizer: learning.optimizer,
    weightClipEvery: learning.weightClipEvery,
    seams: ['residual', 'value'],
    dataSeed: experiment.calibration.seed,
  },
);
process.stdout.write(`ready ${bench.runtime.description}\n`);
for await (const _ of createInterface({ input: process.stdin })) {
  const before = process.cpuUsage();
  const next = await learner.next();
  const { user, system } = process.cpuUsage(before);
  if (next.done) break;
  const { loss, gradientNorm, seconds } = next.value;
  process.stdout.write(
    `${JSON.stringify({ loss, gradientNorm, seconds, cpuSeconds: (user + system) / 1e6 })}\n`,
  );
}
await bench.close();
