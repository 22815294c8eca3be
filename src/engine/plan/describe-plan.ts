import {
  choosesExceptions,
  hasLearnedRotation,
  type Purpose,
  type ResolvedExperiment,
} from '../../config/index.ts';
import { attributionStep } from './choose/attribution-step.ts';
import { withoutExceptions } from './choose/choose-exceptions.ts';
import { methodsOf } from './experiment-methods.ts';
import { planEvaluate, planInspect, planOptimize } from './experiment-plan.ts';
import { type Step, type StepKind, withInputs } from './step.ts';

export interface StepDescription {
  readonly kind: StepKind;
  readonly name: string;
  /** Places in the list of the steps that it reads. */
  readonly inputs: readonly number[];
}

/** The steps that a job would run, in their order. */
export async function describePlan(
  experiment: ResolvedExperiment,
  purpose: Purpose,
): Promise<StepDescription[]> {
  return describeSteps(await stepsOf(experiment, purpose));
}

export function describeSteps(steps: readonly Step<unknown>[]): StepDescription[] {
  return steps.map(({ kind, name, inputs }) => ({
    kind,
    name,
    inputs: inputs.map((input) => steps.indexOf(input)),
  }));
}

/** Every step of a job, inputs first. */
export async function stepsOf(
  experiment: ResolvedExperiment,
  purpose: Purpose,
): Promise<readonly Step<unknown>[]> {
  return withInputs([...(await choiceOf(experiment)), ...(await targetsOf(experiment, purpose))]);
}

/** What exceptions are chosen by, before all else. */
async function choiceOf(experiment: ResolvedExperiment): Promise<Step<unknown>[]> {
  if (!choosesExceptions(experiment.quantization)) return [];
  return [attributionStep(withoutExceptions(experiment), await methodsOf(experiment))];
}

async function targetsOf(experiment: ResolvedExperiment, purpose: Purpose): Promise<Step<unknown>[]> {
  const methods = await methodsOf(experiment);
  if (purpose === 'inspect') return [planInspect(experiment, methods, null)];
  if (purpose === 'evaluate' || !hasLearnedRotation(experiment.rotation)) {
    const { perplexity, tasks } = await planEvaluate(experiment, methods, ['full-precision', 'quantized'], {
      path: null,
      integer: undefined,
    });
    return [perplexity, tasks].filter((step) => step !== null);
  }
  const { learned, preserved, perplexity, tasks, statistics } = await planOptimize(experiment, methods);
  return [learned, preserved, perplexity, tasks, statistics].filter((step) => step !== null);
}
