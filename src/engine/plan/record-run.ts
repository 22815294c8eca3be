import { systemFault } from '../../disk/faults.ts';
import { Cancelled, messageOf, UserError } from '../../protocol/errors.ts';
import { type FinishedStatus, type RunEvent, timed } from '../../protocol/events.ts';
import type { Run, RunRecord } from '../../runs/index.ts';

/**
 * Writes every event of a job into its run folder on the way through, and ends the run's record whatever happens:
 * finished, stopped as {@link Cancelled} says, cancelled when the consumer stops listening, or failed with the reason. A run that another process
 * took over, or that was deleted, is left alone.
 */
export async function* recordRun<T>(run: Run, job: AsyncGenerator<RunEvent, T>): AsyncGenerator<RunEvent, T> {
  const began = performance.now();
  const end: End = (status, error = null) => {
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
    const event = run.isLost ? null : endInSpite(error, end);
    if (event !== null) yield event;
    throw error;
  } finally {
    if (!ended) {
      await job.return(undefined as T);
      end('cancelled');
    }
    run.close();
  }
}

type End = (status: FinishedStatus, error?: RunRecord['error']) => RunEvent;

/** Records how a job ended. @returns null where that cannot be written either: the job's own error is the one to tell. */
function endInSpite(error: unknown, end: End): RunEvent | null {
  try {
    return error instanceof Cancelled ? end(error.how, whyStopped(error)) : end('failed', describe(error));
  } catch {
    return null; // The record says "running", and the lock that nobody holds it.
  }
}

/** The person knows why they stopped a run, but not why something else did. */
function whyStopped({ how, message }: Cancelled): RunRecord['error'] {
  if (how !== 'interrupted') return null;
  return { code: 'runs/interrupted', message, hint: 'Resume goes on from its last checkpoint.' };
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
