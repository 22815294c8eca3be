/**
 * This script tells what the zero-shot tasks of an experiment cost: tokens of all choices, rows that pass through the
 * layers, and seconds of a second pass, when programs and weights are ready. Data sets and a model must be there.
 *
 *     node --import tsx bench/tasks.ts EXPERIMENT
 */
import { measuredTasks, resolveExperiment } from '../src/config/index.ts';
import { type EncodedTask, encodeTask } from '../src/engine/evaluate/tasks/encode.ts';
import { logLikelihoods } from '../src/engine/evaluate/tasks/log-likelihoods.ts';
import { readQuestions } from '../src/engine/evaluate/tasks/read-questions.ts';
import type { Network } from '../src/engine/network/network.ts';
import { startingMaps } from '../src/engine/plan/experiment-maps.ts';
import { deployedNetwork, plainNetwork } from '../src/engine/plan/networks.ts';
import { openWorkbench, type Workbench } from '../src/engine/plan/workbench.ts';

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: tasks.ts EXPERIMENT');
const experiment = await resolveExperiment(file);
const bench = await openWorkbench(experiment, {});
try {
  const tasks = await encoded(bench);
  const { config } = bench.checkpoint;
  const deployed = deployedNetwork(bench, startingMaps(experiment, config), null);
  for (const [name, network] of Object.entries({ full: plainNetwork(bench), deployed })) {
    for (const task of tasks) console.log(name, task.task, JSON.stringify(await costs(network, task)));
  }
} finally {
  await bench.close();
}

async function encoded({ tokenizer, checkpoint }: Workbench): Promise<EncodedTask[]> {
  const tasks: EncodedTask[] = [];
  for (const asked of measuredTasks(experiment.evaluation.tasks)) {
    const questions = await readQuestions(asked);
    tasks.push(await encodeTask(asked.task, questions, tokenizer, checkpoint.config.maxPositions));
  }
  return tasks;
}

async function costs(network: Network, task: EncodedTask) {
  const requests = task.questions.flatMap((question) => question.requests);
  const tokens = requests.reduce((sum, { input }) => sum + input.length, 0);
  await measure(network, task);
  const rows = countRows(network);
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  await measure(network, task);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - began) / 1000;
  return { choices: requests.length, tokens, rows: rows(), seconds, processorSeconds: (user + system) / 1e6 };
}

async function measure(network: Network, task: EncodedTask): Promise<void> {
  for await (const _ of logLikelihoods(network, task));
}

/** Counts the rows that go into the first layer from now on, until it is called. */
function countRows(network: Network): () => number {
  let rows = 0;
  const layer = network.layer;
  network.layer = (index, x, ...others) => {
    if (index === 0) rows += x.dims[0] ?? 0;
    return layer.call(network, index, x, ...others);
  };
  return () => {
    network.layer = layer;
    return rows;
  };
}
