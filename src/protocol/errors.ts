import { printable } from './printable.ts';

/** A fault the person can mend: what was found, what is allowed, what to do. Shown without a stack. */
export class UserError extends Error {
  override readonly name = 'UserError';
  /** Stable identifier of the fault, for tests and quick fixes: `safetensors/truncated`, `config/unknown-key` … */
  readonly code: string;
  /** The next step for the person. */
  readonly hint: string;

  constructor(code: string, message: string, hint = '') {
    super(printable(message));
    this.code = code;
    this.hint = printable(hint);
  }
}

/** How work was stopped, in the word that its run keeps. */
export type Stopped = 'cancelled' | 'paused' | 'interrupted';

/** The person (or a signal) stopped the work. What was done so far is on disk. */
export class Cancelled extends Error {
  override readonly name = 'Cancelled';
  readonly how: Stopped;

  constructor(message = 'Cancelled', how: Stopped = 'cancelled') {
    super(message);
    this.how = how;
  }
}

/** Throws {@link Cancelled} when the signal has fired. */
export function throwIfCancelled(signal?: AbortSignal): void {
  if (signal?.aborted) throw cancelledBy(signal);
}

/** The error of work that a signal stopped; one that was given to the signal says how. */
export function cancelledBy({ reason }: AbortSignal): Cancelled {
  return reason instanceof Cancelled ? new Cancelled(reason.message, reason.how) : new Cancelled();
}

/** Text of anything thrown, for logs and messages. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of an error of Node or of the operating system, such as `ENOENT`; undefined where there is none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
