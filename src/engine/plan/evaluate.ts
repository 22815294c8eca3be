import type { ResolvedExperiment } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { openRun, type PerplexityResult } from '../../runs/index.ts';
import { planEvaluate } from './experiment-plan.ts';
import { runJob } from './job.ts';
import type { EvaluateOptions, EvaluateResult } from './options.ts';
import { Places } from './places.ts';
import { labelOf } from './workbench.ts';

/** Measures perplexity at full precision and quantized. Weights of the runs that are named serve again. */
export async function* evaluateExperiment(
  experiment: ResolvedExperiment,
  options: EvaluateOptions,
): AsyncGenerator<RunEvent, EvaluateResult> {
  const { rotations, runDir, record } = options;
  const named = [runDir, rotations].filter((path) => path !== undefined);
  const setting = {
    job: 'evaluate' as const,
    experiment,
    options,
    places: new Places(null, named, record?.dir ?? experiment.runs),
    run: record?.dir ?? runDir ?? null,
    tell: record?.setProvenance.bind(record),
  };
  return yield* runJob(setting, async function* (bench, executor) {
    const variants = options.variants ?? (['full-precision', 'quantized'] as const);
    const path = rotations ?? (runDir === undefined ? null : (await openRun(runDir)).path('rotations'));
    const step = await planEvaluate(experiment, bench.scaling, variants, path);
    const perplexity = yield* executor.execute(step);
    if (runDir !== undefined) await addToRun(runDir, perplexity);
    return { perplexity, bits: labelOf(bench), device: bench.runtime.device };
  });
}

/** Puts new measurements beside, or in place of, those that a run has under the same names. */
async function addToRun(runDir: string, fresh: readonly PerplexityResult[]): Promise<void> {
  const run = await openRun(runDir);
  const results = await run.readResults();
  const byName = new Map(results.perplexity.map((result) => [result.name, result]));
  for (const result of fresh) {
    const before = byName.get(result.name);
    byName.set(result.name, {
      ...result,
      fullPrecision: result.fullPrecision ?? before?.fullPrecision ?? null,
      quantized: result.quantized ?? before?.quantized ?? null,
    });
  }
  run.writeResults({ ...results, perplexity: [...byName.values()] });
}
