/**
 * The services that the parts of the extension offer each other. Trees, lenses and panels see runs and jobs only through
 * these; the implementations are in jobs/ and runs/.
 */
import type * as vscode from 'vscode';
import type { RunEvent } from '../protocol/events.ts';
import type { Progress } from '../protocol/progress.ts';
import type { AttributeParams, ComparedNotification, CompareParams } from '../protocol/worker.ts';
import type { Run } from '../runs/index.ts';
import type { WorkerCellReasons } from './experiments/cell-reasons.ts';
import type { ExperimentEstimates } from './experiments/estimates.ts';
import type { TableCounts } from './experiments/table-counts.ts';
import type { RunSummaries } from './runs/summaries.ts';

export type JobKind = 'optimize' | 'evaluate' | 'inspect' | 'attribute';
export type JobState = 'waiting' | 'running' | 'finished' | 'paused' | 'cancelled' | 'failed' | 'interrupted';

/** One piece of work in the queue; only one runs at a time. */
export interface Job {
  readonly id: string;
  readonly kind: JobKind;
  /** Absolute path of the experiment file. */
  readonly experiment: string;
  readonly state: JobState;
  /** Absolute path of the run folder, once it is known. */
  readonly runDir: string | null;
  /** Why it failed or was interrupted, for people. */
  readonly message: string | null;
}

export interface JobRequest {
  readonly kind: JobKind;
  readonly experiment: string;
  /** Run folder to go on from (optimize), or whose rotations are evaluated. */
  readonly runDir?: string;
  /** Goes on from that run even if another process is, or may be, at work on it. */
  readonly takeOver?: boolean;
  /** Evaluate with the learned rotations (default) or without any. */
  readonly withoutRotations?: boolean;
  /** What an attribution of the loss measures besides its estimates, and by whose settings. */
  readonly attribution?: Pick<AttributeParams, 'exact' | 'curve' | 'ownSettings'>;
  /** Tells what the experiment file held when it was asked for; absent where that is not known. */
  readonly contents?: string;
}

export interface Jobs extends vscode.Disposable {
  /** Fires when a job is added or changes state. */
  readonly onDidChange: vscode.Event<Job>;
  /** Every event of the running job as the worker sends it. */
  readonly onEvent: vscode.Event<{ readonly job: Job; readonly event: RunEvent }>;
  readonly all: readonly Job[];
  readonly running: Job | null;
  /** The job that was paused while nothing has been started since: those that wait do not begin. */
  readonly held: Job | null;
  /** The progress of a job that has not ended, from its events so far. */
  progress(id: string): Progress;
  /** The job that waits or runs and does what is asked for; null where that would be a new one. */
  openJob(request: JobRequest): Job | null;
  /**
   * Puts a job at the end of the queue, and one that was paused at its beginning; resolves when it has ended. What is
   * asked for twice is done once: a job that waits, or does the same with the same file, is not added again.
   */
  submit(request: JobRequest): Promise<Job>;
  /** Lets those that wait begin, after a pause. */
  proceed(): void;
  /** Asks the worker to stop at the next safe moment; kills it after a grace period, if nothing else works there. */
  cancel(id: string): Promise<void>;
  /** Stops after the present step; the run can be resumed, and nothing else begins meanwhile. */
  pause(id: string): Promise<void>;
}

/** The run folders of the workspace, watched. */
export interface RunStore extends vscode.Disposable {
  /** Fires (at most ten times a second) when runs appear, change or go; names the folders that changed. */
  readonly onDidChange: vscode.Event<readonly string[]>;
  /** Newest first. */
  list(): readonly Run[];
  /** Runs made from one experiment file, newest first. */
  ofExperiment(experimentFile: string): readonly Run[];
  get(runDir: string): Run | undefined;
  /** The person's notes on runs, beside the run's own record: `.spinquant/labels.json` beside the runs. */
  annotation(runDir: string): RunAnnotation;
  annotate(runDir: string, change: Partial<RunAnnotation>): Promise<void>;
  delete(runDir: string): Promise<void>;
  refresh(): Promise<void>;
}

/** The experiment files of the workspace. */
export interface ExperimentList {
  /** Fires when the list or the active one changes, or the contents of one. */
  readonly onDidChange: vscode.Event<void>;
  /** Absolute paths, sorted. */
  readonly all: readonly string[];
  /** The one last looked at. */
  readonly active: string | null;
}

export interface RunAnnotation {
  /** Name given by the person; else one that tells it from a run of the same minute; null where the usual one does. */
  readonly name: string | null;
  readonly label: string | null;
  readonly starred: boolean;
}

/**
 * Lets full precision and runs write and judge text in the worker; resolves when all is told.
 * @throws UserError, Cancelled, WorkerEnded.
 */
export type CompareText = (
  params: CompareParams,
  onEvents: (events: ComparedNotification['events']) => void,
  signal: AbortSignal,
) => Promise<void>;

export interface Services {
  readonly context: vscode.ExtensionContext;
  readonly jobs: Jobs;
  readonly runs: RunStore;
  readonly summaries: Pick<RunSummaries, 'of'>;
  readonly experiments: ExperimentList;
  readonly compareText: CompareText;
  readonly reasons: Pick<WorkerCellReasons, 'of' | 'told' | 'onDidChange'>;
  readonly tables: Pick<TableCounts, 'of'>;
  readonly estimates: Pick<ExperimentEstimates, 'of' | 'soon' | 'onDidChange'>;
  readonly log: vscode.LogOutputChannel;
}
