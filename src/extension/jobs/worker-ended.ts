import { LOST_FILE } from '../../protocol/exit-codes.ts';

/** The worker process ended while something was expected of it. */
export class WorkerEnded extends Error {
  override readonly name = 'WorkerEnded';
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its last lines on stderr. */
  readonly lastLines: readonly string[];

  constructor(exitCode: number | null, signal: NodeJS.Signals | null, lastLines: readonly string[]) {
    super(
      exitCode === LOST_FILE.exitCode
        ? lostFile(lastLines)
        : [`The worker process ${howEnded(exitCode, signal)}.`, ...lastLines].join('\n'),
    );
    this.exitCode = exitCode;
    this.signal = signal;
    this.lastLines = lastLines;
  }
}

function howEnded(exitCode: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `was ended by ${signal}`;
  return exitCode === null ? 'ended' : `ended with code ${exitCode}`;
}

/** The worker's own words, which name the file. */
function lostFile(lastLines: readonly string[]): string {
  const line = lastLines.findLast((text) => text.startsWith(LOST_FILE.lineStart));
  return (
    line?.slice(LOST_FILE.lineStart.length) ??
    'A file was truncated, or its disk failed, while it was read. Restore it, then resume the run.'
  );
}
