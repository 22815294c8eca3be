/** Makes one learned run of a quality table, in a separate process to measure its peak memory. It prints JSON. */
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { optimizeRotation } from '../../src/engine/index.ts';
import { openRun } from '../../src/runs/index.ts';
import { last } from './last.ts';

/** The results of a learner. */
export interface Learned {
  readonly perplexity: number;
  /** Learning alone took this long. */
  readonly seconds: number;
  /** The peak is that of the whole process, weights and evaluation included. */
  readonly peakBytes: number;
}

export interface LearnRun {
  readonly experiment: ResolvedExperiment;
  readonly runs: string;
}

async function learn({ experiment, runs }: LearnRun): Promise<Learned> {
  const { run, perplexity } = await last(optimizeRotation({ ...experiment, runs }, {}));
  const { seconds } = await (await openRun(run)).readResults();
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  return { perplexity: perplexity[0]!.quantized!, seconds: seconds.learn!, peakBytes };
}

console.log(JSON.stringify(await learn(JSON.parse(process.argv[2]!) as LearnRun)));
