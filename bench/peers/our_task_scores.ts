/**
 * This script writes the log-likelihood of every choice of an experiment's tasks, for another program to compare with.
 *
 *     node --import tsx bench/peers/our_task_scores.ts EXPERIMENT OUT.json [--kernels composed] [--quantized]
 *
 * Without --quantized it measures the network of full precision; with it, the rotations are those that are drawn.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { measuredTasks, resolveExperiment, taskNamed } from '../../src/config/index.ts';
import { encodeTask } from '../../src/engine/evaluate/tasks/encode.ts';
import { logLikelihoods } from '../../src/engine/evaluate/tasks/log-likelihoods.ts';
import { readQuestions } from '../../src/engine/evaluate/tasks/read-questions.ts';
import { scoreTask } from '../../src/engine/evaluate/tasks/score.ts';
import { startingMaps } from '../../src/engine/plan/experiment-maps.ts';
import { deployedNetwork, plainNetwork } from '../../src/engine/plan/networks.ts';
import { openWorkbench } from '../../src/engine/plan/workbench.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernels: { type: 'string', default: 'auto' },
    quantized: { type: 'boolean', default: false },
  },
});
const [file, out] = positionals;
if (file === undefined || out === undefined) throw new Error('usage: our_task_scores.ts EXPERIMENT OUT.json');
const experiment = await resolveExperiment(file);
const bench = await openWorkbench(experiment, { kernels: values.kernels as 'auto' | 'native' | 'composed' });
try {
  const network = values.quantized
    ? deployedNetwork(bench, startingMaps(experiment, bench.checkpoint.config), null)
    : plainNetwork(bench);
  const tasks: unknown[] = [];
  for (const asked of measuredTasks(experiment.evaluation.tasks)) {
    const questions = await readQuestions(asked);
    const { maxPositions } = bench.checkpoint.config;
    const encoded = await encodeTask(asked.task, questions, bench.tokenizer, maxPositions);
    const began = performance.now();
    const found = new Map<number, number>();
    for await (const part of logLikelihoods(network, encoded)) for (const entry of part) found.set(...entry);
    const seconds = (performance.now() - began) / 1000;
    const scoring = scoreTask(network, encoded, taskNamed(asked.task).normalizes);
    let next = await scoring.next();
    while (!next.done) next = await scoring.next();
    let request = 0;
    const likelihoods = encoded.questions.map(({ requests }) => requests.map(() => found.get(request++)));
    tasks.push({ task: asked.task, seconds, scores: next.value, cut: encoded.cut, likelihoods });
    console.error(asked.task, questions.length, `${seconds.toFixed(1)} s`);
  }
  writeFileSync(out, JSON.stringify({ runtime: bench.runtime.description, tasks }));
} finally {
  await bench.close();
}
