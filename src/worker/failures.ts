import { ResponseError } from 'vscode-jsonrpc';
import { systemFault } from '../disk/faults.ts';
import { Cancelled, messageOf, UserError } from '../protocol/errors.ts';
import { REQUEST_CANCELLED, WORKER_ERROR, type WorkerErrorData } from '../protocol/worker.ts';

/** An error as the host gets it: words for the person; the stack of a bug goes to the log. */
export function toReply(thrown: unknown): ResponseError<WorkerErrorData> {
  const error = systemFault(thrown);
  if (error instanceof Cancelled)
    return new ResponseError(REQUEST_CANCELLED, error.message, {
      kind: 'cancelled',
      code: 'cancelled',
      hint: '',
    });
  if (error instanceof UserError)
    return new ResponseError(WORKER_ERROR, error.message, {
      kind: 'user',
      code: error.code,
      hint: error.hint,
    });
  console.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return new ResponseError(WORKER_ERROR, messageOf(error), {
    kind: 'bug',
    code: 'bug',
    hint: 'This is a bug in SpinQuant Lab: please report it with the log.',
  });
}
