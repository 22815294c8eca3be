/** Name of the suites' experiment in their workspaces. */
export const EXPERIMENT = 'lab.spinquant.json';

/** An experiment's amount of work. */
export interface Size {
  readonly steps: number;
  readonly batchSize: number;
  /** Tokens. */
  readonly sequenceLength: number;
}

/** Enough steps for the suite in the extension host to kill, cancel and resume in between. */
export const HOST_SIZE: Size = { steps: 72, batchSize: 2, sequenceLength: 64 };
