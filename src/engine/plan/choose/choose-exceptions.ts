/** Exceptions that are left to the product: layers by what they cost, or all of them within a budget of bits. */
import { isDeepStrictEqual } from 'node:util';
import {
  choosesExceptions,
  type Exception,
  hasExceptions,
  type ResolvedExperiment,
  withoutChosen,
} from '../../../config/index.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import { exceptionLine, type Run } from '../../../runs/index.ts';
import type { ModelConfig } from '../../model/config.ts';
import { Executor } from '../execute.ts';
import { benchWithKeyMeans } from '../key-means.ts';
import type { EngineOptions } from '../options.ts';
import { phase } from '../phases.ts';
import { Places } from '../places.ts';
import type { Step } from '../step.ts';
import type { StepStore } from '../step-store.ts';
import { openWorkbench, type Workbench } from '../workbench.ts';
import { type Attributed, attributionStep } from './attribution-step.ts';
import { averageBits, exceptionsWithin } from './budget.ts';
import { withWorstLayers } from './layers-by-cost.ts';

/**
 * The experiment with its exceptions named: those that a run of it has chosen, else chosen anew.
 * @param run whose rotations or weights serve; null for none.
 */
export async function* withExceptionsChosen(
  experiment: ResolvedExperiment,
  options: EngineOptions,
  run: Run | null,
): AsyncGenerator<RunEvent, ResolvedExperiment> {
  if (!choosesExceptions(experiment.quantization)) return experiment;
  const known = run && (await chosenBy(run, experiment));
  if (known) return withExceptions(experiment, known);
  const bare = withoutExceptions(experiment);
  const places = new Places(null, [], experiment.runs);
  const bench = yield* phase('load', {}, () => openWorkbench(bare, options), experiment.model);
  try {
    const own = yield* benchWithKeyMeans(bench, places, options);
    return yield* chooseExceptions(experiment, choiceOf(experiment, own, places, options.signal));
  } finally {
    await places.close();
    await bench.close();
  }
}

/** Exceptions are chosen by an attribution of the network without them. */
export interface Choice {
  readonly step: Step<Attributed>;
  readonly executor: Executor;
}

/** @param bench of the experiment, with its exceptions or without. @param store of steps that cells of a table share. */
export function choiceOf(
  experiment: ResolvedExperiment,
  bench: Workbench,
  places: Places,
  signal: AbortSignal | undefined,
  store: StepStore | null = null,
): Choice {
  const bare = withoutExceptions(experiment);
  const executor = new Executor({ ...bench, experiment: bare }, places, {}, signal, store);
  return { step: attributionStep(bare, bench), executor };
}

/** Chooses the exceptions of an experiment: the one place that does, for a run alone and for the cells of tables. */
export async function* chooseExceptions(
  experiment: ResolvedExperiment,
  { step, executor }: Choice,
): AsyncGenerator<RunEvent, ResolvedExperiment> {
  const found = yield* executor.execute(step);
  const { config } = executor.bench.checkpoint;
  const { quantization, calibration } = experiment;
  const text = { config, sequence: calibration.sequenceLength };
  const exceptions =
    quantization.budget === undefined
      ? (quantization.exceptions ?? []).map((exception) => withWorstLayers(exception, found))
      : exceptionsWithin(quantization.budget, executor.bench.experiment.quantization, found, text);
  const chosen = withExceptions(experiment, exceptions);
  const detail = exceptionsStatement(chosen, config);
  yield timed({ type: 'phase', phase: 'prepare', state: 'finished', detail });
  return chosen;
}

/** The experiment with one quantizer for all layers. */
export function withoutExceptions(experiment: ResolvedExperiment): ResolvedExperiment {
  const { budget: _, exceptions: __, ...uniform } = experiment.quantization;
  return { ...experiment, quantization: uniform };
}

export function withExceptions(
  experiment: ResolvedExperiment,
  exceptions: readonly Exception[],
): ResolvedExperiment {
  return { ...experiment, quantization: { ...experiment.quantization, exceptions: [...exceptions] } };
}

/** What a run of these settings has chosen; null where it is of other ones. */
export async function chosenBy(run: Run, { quantization }: ResolvedExperiment): Promise<Exception[] | null> {
  const then = (await run.readExperiment()).quantization;
  return isDeepStrictEqual(withoutChosen(then, quantization), withoutChosen(quantization, quantization))
    ? (then.exceptions ?? null)
    : null;
}

/** Average bits and exceptions in words, as they were chosen. */
function exceptionsStatement(experiment: ResolvedExperiment, config: ModelConfig): string {
  const { quantization, calibration } = experiment;
  const { exceptions = [] } = quantization;
  const bits = averageBits(quantization, config, calibration.sequenceLength);
  return `${bits.toFixed(3)} bits on average: ${exceptions.map(exceptionLine).join('; ') || 'no exceptions'}`;
}

/** The same, or how they will be chosen; null where there are none. */
export function exceptionsPreview(experiment: ResolvedExperiment, config: ModelConfig): string | null {
  const { quantization } = experiment;
  if (choosesExceptions(quantization)) return choiceStatement(experiment);
  return hasExceptions(quantization) ? exceptionsStatement(experiment, config) : null;
}

function choiceStatement({ quantization }: ResolvedExperiment): string {
  const { budget, exceptions = [] } = quantization;
  const what =
    budget === undefined
      ? exceptions.map(exceptionLine).join('; ')
      : `8 bits in the places that cost most for each bit, up to ${budget} bits on average`;
  return `chosen by an attribution first: ${what}`;
}
