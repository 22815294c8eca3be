import type { RunEvent } from '../../../protocol/events.ts';
import { digestOf, withInputs } from '../step.ts';
import { targetsOf } from './cell-plan.ts';
import { allTargets, type OpenCell } from './open-cell.ts';

/**
 * Tells everything that decides a cell's numbers beside its settings: the model's files, the tokens of its texts, the
 * versions of its steps, and what computes. A finished run of the same settings and inputs is not run again.
 * @param open before its exceptions are chosen: these follow from the inputs.
 */
export async function* inputsOf(
  open: Pick<OpenCell, 'plan' | 'choice' | 'executor'>,
): AsyncGenerator<RunEvent, string> {
  const { plan, executor } = open;
  const { calibration, evaluation } = plan;
  const texts: string[] = [evaluation.digest(yield* executor.execute(evaluation))];
  if (readsCalibration(open)) texts.push(calibration.digest(yield* executor.execute(calibration)));
  const { checkpoint, runtime } = executor.bench;
  return digestOf({
    texts,
    model: await checkpoint.hash(),
    kernels: runtime.kernels,
    device: runtime.device.kind,
    steps: versionsOf(open),
  }).slice(0, 32);
}

/** True where a step of the cell reads the calibration text. */
function readsCalibration(open: Pick<OpenCell, 'plan' | 'choice'>): boolean {
  return open.choice !== null || withInputs(targetsOf(open.plan)).includes(open.plan.calibration);
}

function versionsOf(open: Pick<OpenCell, 'plan' | 'choice'>): string[] {
  return withInputs(allTargets(open)).map(({ kind, name, version }) => `${kind} ${name} ${version}`);
}
