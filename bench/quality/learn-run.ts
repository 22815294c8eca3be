/** One learned run of a quality table in a process of its own, so that its peak memory is its own: one JSON line. */
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { optimizeRotation } from '../../src/engine/index.ts';
import { openRun } from '../../src/runs/index.ts';
import { last } from './last.ts';

/** What a learner reached. */
export interface Learned {
  readonly perplexity: number;
  /** Of learning alone. */
  readonly seconds: number;
  /** Of the whole process, weights and evaluation included. */
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
