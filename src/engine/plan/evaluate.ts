import { hasLearnedRotation, type ResolvedExperiment } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { openRun, type Run } from '../../runs/index.ts';
import { addToRun, expectPlace } from './add-to-run.ts';
import { mixedBits } from './choose/budget.ts';
import { withExceptionsChosen } from './choose/choose-exceptions.ts';
import { evaluateStock } from './evaluate-stock.ts';
import { planEvaluate } from './experiment-plan.ts';
import { integerProducts, type Measured, withProducts } from './integer-products.ts';
import { runJob } from './job.ts';
import type { EvaluateOptions, EvaluateResult } from './options.ts';
import { Places } from './places.ts';
import { measuredWith, type Source, sourceAt, warningsOf, withKeysOf } from './source.ts';
import { choiceSaid, keyChoiceOf } from './statements.ts';
import { gpuOf } from './stock-run.ts';
import { labelOf } from './workbench.ts';

/**
 * Measures perplexity and tasks at full precision and quantized. Weights of the runs that are named serve again. Learned rotations
 * bring the settings that they were learned by.
 * @throws UserError `rotation/not-used`, and where results are added to a run those of {@link expectPlace}.
 */
export async function* evaluateExperiment(
  experiment: ResolvedExperiment,
  options: EvaluateOptions,
): AsyncGenerator<RunEvent, EvaluateResult> {
  const { rotations, runDir, record, weights, integer } = options;
  const own = runDir === undefined ? null : await openRun(runDir);
  const source = await sourceOf(experiment, rotations, own);
  const served = own ?? source?.run ?? (weights === undefined ? null : await openRun(weights));
  const wanted = withKeysOf(
    measuredWith(experiment, source),
    (await served?.readExperiment())?.quantization.keys.offset,
  );
  const asked = yield* withExceptionsChosen(wanted, options, served);
  if (own) await expectPlace(own, asked, source);
  const gpu = integer ? gpuOf(asked.device) : null;
  if (gpu !== null) return yield* evaluateStock(gpu, asked, source, options);
  const named = [runDir, rotations, weights].filter((path) => path !== undefined);
  const setting = {
    job: 'evaluate' as const,
    experiment: asked,
    options,
    places: new Places(null, named, record?.dir ?? asked.runs, record, undefined, record?.dir ?? runDir),
    run: record?.dir ?? runDir ?? null,
    tell: record?.setProvenance.bind(record),
  };
  return yield* runJob(setting, async function* (bench, executor) {
    yield* warningsOf(source);
    yield* choiceSaid(bench);
    const variants = options.variants ?? (['full-precision', 'quantized'] as const);
    const products = integer ? integerProducts(bench) : null;
    const plan = await planEvaluate(bench.experiment, bench, variants, {
      path: source?.rotations ?? null,
      integer,
    });
    const told = <T extends Measured>(results: readonly T[]): T[] => withProducts(results, products);
    const perplexity = told(yield* executor.execute(plan.perplexity));
    const tasks = plan.tasks === null ? [] : told(yield* executor.execute(plan.tasks));
    if (own) await addToRun(own, perplexity, tasks);
    const rotationsOf = source?.origin ?? null;
    const { device } = bench.runtime;
    const bits = labelOf(bench);
    const found = { perplexity, tasks, bits, ...mixedBits(bench), ...keyChoiceOf(bench) };
    return { ...found, rotationsOf, products, device };
  });
}

/** Learned rotations are those named, or else those of the run that results are added to. */
function sourceOf(
  experiment: ResolvedExperiment,
  rotations: string | undefined,
  own: Run | null,
): Promise<Source> | null {
  if (rotations !== undefined) return sourceAt(experiment, rotations);
  return own && hasLearnedRotation(experiment.rotation) ? sourceAt(experiment, own.dir) : null;
}
