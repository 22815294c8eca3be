import { UserError } from '../../../protocol/errors.ts';

/** @throws UserError with this code where a layer's loss is not a number. */
export function requireFinite(
  loss: number,
  layer: number,
  code: 'rounding/not-finite' | 'scaling/not-finite',
): number {
  if (Number.isFinite(loss)) return loss;
  throw new UserError(
    code,
    `The outputs of layer ${layer} are not finite on the calibration text.`,
    'The network overflows there: check the checkpoint, or use another calibration text or smaller learning rates.',
  );
}
