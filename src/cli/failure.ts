import { systemFault } from '../disk/faults.ts';
import { Cancelled, codeOf, messageOf, UserError } from '../protocol/errors.ts';
import { AGAIN } from '../protocol/exit-codes.ts';
import type { Output } from './output.ts';

export const EXIT = { success: 0, fault: 1, bug: 2, again: AGAIN, cancelled: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Reports an error in words for whoever has to mend it. @returns the exit code. */
export function reportFailure(thrown: unknown, output: Output): ExitCode {
  const { colors } = output;
  const error = systemFault(thrown);
  if (error instanceof Cancelled) {
    output.note('Cancelled. What was done so far is kept.');
    output.document({ error: { code: 'cancelled', message: error.message, hint: '' } });
    return EXIT.cancelled;
  }
  if (error instanceof UserError) {
    output.note(`${colors.red('Error:')} ${error.message}`);
    if (error.hint && !error.message.includes(error.hint)) output.note(error.hint);
    output.document({ error: { code: error.code, message: error.message, hint: error.hint } });
    return EXIT.fault;
  }
  if (isUsageError(error)) {
    output.document({ error: { code: 'cli/usage', message: error.message, hint: 'See spinquant --help.' } });
    return EXIT.fault;
  }
  output.note(error instanceof Error ? (error.stack ?? error.message) : String(error));
  output.note(`${colors.red('This is a bug')} in SpinQuant Lab. Please report it with the lines above.`);
  output.document({ error: { code: 'bug', message: messageOf(error), hint: '' } });
  return EXIT.bug;
}

/** Commander has already written these to stderr. */
function isUsageError(error: unknown): error is Error {
  return codeOf(error)?.startsWith('commander.') ?? false;
}
