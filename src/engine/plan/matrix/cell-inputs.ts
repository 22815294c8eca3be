import type { RunEvent } from '../../../protocol/events.ts';
import type { Executor } from '../execute.ts';
import { digestOf, withInputs } from '../step.ts';
import { type CellPlan, targetsOf } from './cell-plan.ts';

/**
 * Tells everything that decides a cell's numbers beside its settings: the model's files, the tokens of its texts,
 * the versions of its steps, and what computes. A finished run of the same settings and inputs is not run again.
 */
export async function* inputsOf(
  plan: CellPlan,
  executor: Executor,
  needsCalibration: boolean,
): AsyncGenerator<RunEvent, string> {
  const { calibration, evaluation } = plan;
  const texts: string[] = [evaluation.digest(yield* executor.execute(evaluation))];
  if (needsCalibration) texts.push(calibration.digest(yield* executor.execute(calibration)));
  const { checkpoint, runtime } = executor.bench;
  return digestOf({
    texts,
    model: await checkpoint.hash(),
    kernels: runtime.kernels,
    device: runtime.device.kind,
    steps: versionsOf(plan),
  }).slice(0, 32);
}

/** True where a step of the plan reads the calibration text. */
export function readsCalibration(plan: CellPlan): boolean {
  return withInputs(targetsOf(plan)).includes(plan.calibration);
}

function versionsOf(plan: CellPlan): string[] {
  return withInputs(targetsOf(plan)).map(({ kind, name, version }) => `${kind} ${name} ${version}`);
}
