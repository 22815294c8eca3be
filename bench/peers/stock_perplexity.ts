/**
 * Perplexity of an exported ONNX folder in onnxruntime-node, as it comes from npm, on the texts of its run.
 *
 *     node --import tsx bench/peers/stock_perplexity.ts RUN FOLDER [WINDOWS]
 *
 * The run's own number for the same windows, which the engine measured, stands beside it.
 */

import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { evaluationText } from '../../src/engine/plan/workbench.ts';
import { openRun } from '../../src/runs/index.ts';
import { StockSession } from '../../test/helpers/stock-session.ts';

const [dir, folder, windows] = process.argv.slice(2);
if (dir === undefined || folder === undefined) throw new Error('usage: stock_perplexity.ts RUN FOLDER');
const run = await openRun(dir);
const experiment = await run.readExperiment();
const measured = (await run.readResults()).perplexity;
const { config } = await openCheckpoint(experiment.model);
const tokenizer = openTokenizer(experiment.model, config.vocabSize);
const session = await StockSession.open(folder, config, 2);
for (const task of experiment.evaluation.perplexity) {
  const maxWindows = windows === undefined ? task.maxWindows : Number(windows);
  const text = await evaluationText(tokenizer, { ...task, maxWindows });
  const began = performance.now();
  const perplexity = await session.perplexity(text.windows);
  const seconds = (performance.now() - began) / 1000;
  const own = measured.find(({ name }) => name === task.name)?.quantized;
  const facts = `${text.windows.length} windows, ${seconds.toFixed(1)} s; the run: ${own?.toFixed(4) ?? '–'}`;
  console.log(`${text.name}: ${perplexity.toFixed(4)} (${facts})`);
}
