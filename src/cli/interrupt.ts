import { writeSync } from 'node:fs';
import { Cancelled } from '../protocol/errors.ts';
import { EXIT } from './failure.ts';
import type { Output } from './output.ts';

/** npm passes the terminal's Ctrl-C on a second time. Within this time, a second signal is the same press. */
const SAME_PRESS_MS = 300;

/**
 * Runs work that Ctrl-C (or SIGTERM) stops. The first press aborts the signal, so that the work ends in order;
 * the second leaves at once.
 */
export async function interruptible<T>(
  output: Output,
  work: (signal: AbortSignal) => Promise<T>,
  clock: () => number = Date.now,
): Promise<T> {
  const controller = new AbortController();
  let firstPress = 0;
  let hasEnded = false;
  const stop = (name: NodeJS.Signals) => {
    const now = clock();
    if (!controller.signal.aborted) {
      firstPress = now;
      output.note('Stopping. Press Ctrl-C again to leave at once.');
      controller.abort();
    } else if (now - firstPress > SAME_PRESS_MS) {
      leave(output, name, hasEnded);
    }
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    return await work(controller.signal);
  } finally {
    hasEnded = true;
    // After a stop the handlers stay: the repeated press must not end the process before its last output.
    if (!controller.signal.aborted) {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    }
  }
}

/**
 * Also stops work at SIGUSR2, by which a scheduler warns that the time is nearly over: the work keeps what it has. Node
 * has SIGUSR1 for itself.
 * @param work its signal says that it was interrupted.
 */
export async function stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = () => controller.abort(new Cancelled('The time of the job is nearly over.', 'interrupted'));
  if (process.platform !== 'win32') process.on('SIGUSR2', stop);
  try {
    return await work(controller.signal);
  } finally {
    if (!controller.signal.aborted) process.off('SIGUSR2', stop);
  }
}

/**
 * Ends the process as the signal itself would. `process.exit` is not enough: it waits for threads that hang in a read,
 * and destroys the runtime under threads that compute. Files are written whole or not at all, so no cleanup is needed:
 * a run counts as interrupted and resumes from its last checkpoint.
 */
function leave(output: Output, name: NodeJS.Signals, hasSaidAll: boolean): void {
  const message = 'Left at once. A run that was at work resumes from its last checkpoint: --resume.';
  try {
    output.status('');
    // This writes at once, where a stream might still be writing.
    writeSync(process.stderr.fd, `${message}\n`);
    const document = { error: { code: 'cancelled', message, hint: '' } };
    if (output.json && !hasSaidAll) writeSync(process.stdout.fd, `${JSON.stringify(document, null, 2)}\n`);
  } finally {
    process.removeAllListeners(name);
    if (process.platform !== 'win32') process.kill(process.pid, name);
    process.exit(EXIT.cancelled);
  }
}
