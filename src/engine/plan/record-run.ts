import { systemFault } from '../../disk/faults.ts';
import { Cancelled, messageOf, UserError } from '../../protocol/errors.ts';
import { type FinishedStatus, type RunEvent, timed } from '../../protocol/events.ts';
import type { Run, RunRecord } from '../../runs/index.ts';

/**
 * Writes every event of a job into its run folder on the way through, and ends the run's record whatever happens:
 * finished, cancelled (also when the consumer stops listening), or failed with the reason.
 */
export async function* recordRun<T>(run: Run, job: AsyncGenerator<RunEvent, T>): AsyncGenerator<RunEvent, T> {
  const began = performance.now();
  const end = (status: FinishedStatus, error: RunRecord['error'] = null): RunEvent => {
    const seconds = (performance.now() - began) / 1000;
    const event = timed({ type: 'run-finished', status, seconds, ...(error && { message: error.message }) });
    run.appendEvent(event);
    run.finish(status, error);
    return event;
  };
  let ended = false;
  try {
    for (;;) {
      const next = await job.next();
      if (next.done) {
        ended = true;
        yield end('finished');
        return next.value;
      }
      run.appendEvent(next.value);
      yield next.value;
    }
  } catch (error) {
    ended = true;
    yield error instanceof Cancelled ? end('cancelled') : end('failed', describe(error));
    throw error;
  } finally {
    if (!ended) {
      await job.return(undefined as T);
      end('cancelled');
    }
  }
}

function describe(thrown: unknown): NonNullable<RunRecord['error']> {
  const error = systemFault(thrown);
  if (error instanceof UserError) return { code: error.code, message: error.message, hint: error.hint };
  return {
    code: 'bug',
    message: messageOf(error),
    hint: 'This is a bug: please report it with the run folder.',
  };
}
