/**
 * Token ids that a run is evaluated on, for programs without our tokenizer: one JSON document of the first text.
 *
 *     node --import tsx bench/peers/evaluation_windows.ts RUN [WINDOWS]
 */

import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { evaluationText } from '../../src/engine/plan/workbench.ts';
import { openRun } from '../../src/runs/index.ts';

const [dir, windows] = process.argv.slice(2);
if (dir === undefined) throw new Error('usage: evaluation_windows.ts RUN [WINDOWS]');
const experiment = await (await openRun(dir)).readExperiment();
const { config } = await openCheckpoint(experiment.model);
const tokenizer = openTokenizer(experiment.model, config.vocabSize);
const [task] = experiment.evaluation.perplexity;
if (!task) throw new Error(`${dir} is evaluated on no text`);
const maxWindows = windows === undefined ? task.maxWindows : Number(windows);
const text = await evaluationText(tokenizer, { ...task, maxWindows });
console.log(JSON.stringify({ name: text.name, windows: text.windows.map((ids) => [...ids]) }));
