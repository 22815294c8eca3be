import type { ResolvedExperiment } from '../../config/index.ts';
import type { OptimizeResult } from '../../engine/index.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { perplexityTable } from '../perplexity-table.ts';
import { follow } from '../progress.ts';

export interface OptimizeFlags extends ComputeFlags {
  /** It is true for `--resume` without a run. */
  readonly resume?: string | true;
  readonly seed?: number;
}

export async function optimize(file: string, flags: OptimizeFlags, output: Output): Promise<undefined> {
  const experiment = withSeed(await loadExperiment(file, 'optimize', output, flags.device), flags.seed);
  const engine = await loadEngine();
  const resumeFrom =
    flags.resume === undefined
      ? undefined
      : (await engine.runToResume(experiment, flags.resume === true ? null : flags.resume)).dir;
  const result = await interruptible(output, (signal) =>
    follow(engine.optimizeRotation(experiment, { signal, kernels: flags.kernels, resumeFrom }), output),
  );
  output.document(result);
  output.result(summary(result));
}

function withSeed(experiment: ResolvedExperiment, seed: number | undefined): ResolvedExperiment {
  if (seed === undefined) return experiment;
  return { ...experiment, rotation: { ...experiment.rotation, seed } };
}

function summary(result: OptimizeResult): string {
  const lines = [
    `Loss ${result.loss.first.toFixed(4)} → ${result.loss.last.toFixed(4)} in ${result.steps} steps, orthogonality error ${result.orthogonalityError.toExponential(1)}`,
  ];
  if (result.perplexity.length > 0) lines.push('', perplexityTable(result.perplexity), '');
  lines.push(`Run: ${result.run}`);
  return lines.join('\n');
}
