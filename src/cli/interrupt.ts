import { EXIT } from './failure.ts';
import type { Output } from './output.ts';

/** npm passes the terminal's Ctrl-C on a second time; nobody presses it twice in this time. */
const SAME_PRESS_MS = 300;

/**
 * Runs work that Ctrl-C (or SIGTERM) stops: the first aborts the signal, so that the work ends in order;
 * the second quits at once.
 */
export async function interruptible<T>(
  output: Output,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let firstPress = 0;
  const stop = () => {
    const now = Date.now();
    if (!controller.signal.aborted) {
      firstPress = now;
      output.note('Stopping. Press Ctrl-C again to quit at once.');
      controller.abort();
    } else if (now - firstPress > SAME_PRESS_MS) {
      process.exit(EXIT.cancelled);
    }
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    return await work(controller.signal);
  } finally {
    // After a stop the handlers stay: the press that comes twice must not end the process before its last words.
    if (!controller.signal.aborted) {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    }
  }
}
