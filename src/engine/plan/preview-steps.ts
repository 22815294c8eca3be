import type { Purpose, ResolvedExperiment } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { exceptionsPreview } from './choose/choose-exceptions.ts';
import { describeSteps, type StepDescription, stepsOf } from './describe-plan.ts';
import { estimatesOf } from './estimate/estimates-of.ts';
import { type Expected, expectedOf } from './estimate/expected.ts';
import { runJob } from './job.ts';
import { stepsFolder } from './matrix/steps-folder.ts';
import type { EngineOptions } from './options.ts';
import { Places } from './places.ts';
import { statementsOf } from './statements.ts';
import { StepStore } from './step-store.ts';
import { SCAN } from './steps/texts.ts';

/** A step of a single experiment, with what it is expected to cost; null where it takes no time to speak of. */
export interface StepEstimate extends StepDescription {
  readonly seconds: number | null;
  /** Of the process, mapped weights included. */
  readonly peakBytes: number | null;
}

export interface StepsPreview {
  readonly steps: readonly StepEstimate[];
  /** Average bits and the exceptions, or how these will be chosen; null where there are none. */
  readonly exceptions: string | null;
  readonly expected: Expected;
  /** What a run says of its network, a sentence each. */
  readonly statements: readonly string[];
}

/** The steps of an experiment without a matrix, in their order. Reads the texts; computes nothing else. */
export async function* previewSteps(
  experiment: ResolvedExperiment,
  purpose: Purpose,
  options: EngineOptions,
): AsyncGenerator<RunEvent, StepsPreview> {
  const places = new Places(null, [], experiment.runs);
  const setting = { job: 'inspect' as const, experiment, options, places, run: null, previews: true };
  return yield* runJob(setting, async function* (bench, executor) {
    const all = await stepsOf(experiment, purpose);
    executor.assume(SCAN, null);
    for (const step of all) if (step.kind === 'text') yield* executor.execute(step);
    const estimates = await estimatesOf(bench, new StepStore(stepsFolder(experiment)));
    const described = describeSteps(all);
    const steps = all.map((step, index) => {
      const cost = step.cost?.(executor);
      const seconds = cost ? estimates.seconds(step.name, cost.work) : null;
      return { ...described[index]!, seconds, peakBytes: cost?.bytes ?? null };
    });
    const exceptions = exceptionsPreview(experiment, bench.checkpoint.config);
    return { steps, exceptions, expected: expectedOf(steps), statements: statementsOf(bench) };
  });
}
