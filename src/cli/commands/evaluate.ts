import { openRun } from '../../runs/index.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { perplexityTable } from '../perplexity-table.ts';
import { follow } from '../progress.ts';

export interface EvaluateFlags extends ComputeFlags {
  readonly rotations?: string;
  readonly run?: string;
}

export async function evaluate(file: string, flags: EvaluateFlags, output: Output): Promise<undefined> {
  const experiment = await loadExperiment(file, 'evaluate', output, flags.device);
  const runDir = flags.run === undefined ? undefined : (await openRun(flags.run)).dir;
  const engine = await loadEngine();
  const path = flags.rotations ?? runDir;
  const source = await engine.findSource(experiment, path === undefined ? null : { path });
  const result = await interruptible(output, (signal) =>
    follow(
      engine.evaluateExperiment(experiment, {
        signal,
        kernels: flags.kernels,
        rotations: source?.rotations,
        runDir,
      }),
      output,
    ),
  );
  output.document(result);
  output.result(`${result.bits}\n\n${perplexityTable(result.perplexity)}`);
}
