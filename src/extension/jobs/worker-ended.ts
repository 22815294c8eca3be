/** The worker process ended while something was expected of it. */
export class WorkerEnded extends Error {
  override readonly name = 'WorkerEnded';
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its last lines on stderr. */
  readonly lastLines: readonly string[];

  constructor(exitCode: number | null, signal: NodeJS.Signals | null, lastLines: readonly string[]) {
    const how =
      signal !== null
        ? `was ended by ${signal}`
        : exitCode === null
          ? 'ended'
          : `ended with code ${exitCode}`;
    super([`The worker process ${how}.`, ...lastLines].join('\n'));
    this.exitCode = exitCode;
    this.signal = signal;
    this.lastLines = lastLines;
  }
}
