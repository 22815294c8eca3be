/**
 * A job's progress, from its events: the one state that the status bar, lenses, panels, chat tools and the command line
 * show. Pure; whoever follows several jobs keeps a state for each.
 */
import type {
  CellEvent,
  DownloadProgressEvent,
  EvaluationProgressEvent,
  PhaseName,
  QueueEvent,
  RoundingProgressEvent,
  RunEvent,
  StepEvent,
} from './events.ts';
import { secondsLeftOf } from './pace.ts';

export interface Progress {
  /** The phase that began last; null before the first. */
  readonly phase: PhaseName | null;
  /** That phase has not ended. */
  readonly underWay: boolean;
  /** ISO 8601; null where no event said it. */
  readonly phaseStartedAt: string | null;
  /** Optimizer steps done, and of how many; 0 before the first. */
  readonly step: number;
  readonly of: number;
  /** Durations of the newest steps, in their order. */
  readonly stepSeconds: readonly number[];
  /** The download that is under way: file and bytes. */
  readonly download: DownloadProgressEvent | null;
  /** The rounding that is under way: method, layers and share. */
  readonly rounding: RoundingProgressEvent | null;
  /** The evaluation that is under way: text, variant and windows. */
  readonly evaluation: EvaluationProgressEvent | null;
  /** Until the download, the steps or the rounding are done; null while it cannot be told. */
  readonly secondsLeft: number | null;
  /** The cell of a matrix that the job came to last; null where it fills none. */
  readonly cell: CellEvent | null;
  /** How its jobs stand in the queue of a cluster; null where this machine computes. */
  readonly queue: QueueEvent | null;
}

const AT_REST = {
  underWay: false,
  download: null,
  rounding: null,
  evaluation: null,
  secondsLeft: null,
} as const;

export const NO_PROGRESS: Progress = {
  ...AT_REST,
  phase: null,
  phaseStartedAt: null,
  step: 0,
  of: 0,
  stepSeconds: [],
  cell: null,
  queue: null,
};

/** Steps whose median pace foretells the time left: neither the first one nor a sleeping machine decides it alone. */
const RECENT_STEPS = 10;

/**
 * The next state. A run begins from nothing but its cell, and a phase forgets the numbers of the one before; steps, rounding and
 * evaluation imply their phase. An end without a beginning, as remarks have it, changes nothing.
 */
export function advance(progress: Progress, event: RunEvent): Progress {
  switch (event.type) {
    case 'run-started':
      return { ...NO_PROGRESS, step: event.resumedFromStep, of: progress.of, cell: progress.cell };
    case 'phase':
      if (event.state === 'started') return begin(progress, event.phase, event.time);
      return event.phase === progress.phase ? { ...progress, ...AT_REST } : progress;
    case 'step':
      return stepped(progress, event);
    case 'download-progress': {
      const done = event.bytesDone / Math.max(1, event.bytes);
      return { ...paced(within(progress, 'download'), event.time, done), download: event };
    }
    case 'training-progress':
      return paced(within(progress, event.work), event.time, event.done / event.of);
    case 'rounding-progress': {
      // A method that scales the weights works before they are rounded.
      const scales = progress.underWay && progress.phase === 'prepare';
      const present = scales ? progress : within(progress, 'round');
      return { ...paced(present, event.time, event.done), rounding: event };
    }
    case 'evaluation-progress':
      return { ...within(progress, 'evaluate'), evaluation: event };
    case 'task-progress':
      return within(progress, 'evaluate');
    case 'evaluation':
      return { ...progress, evaluation: null };
    case 'run-finished':
      return { ...progress, ...AT_REST };
    case 'cell':
      // What was told of the cell before says nothing of this one.
      return { ...NO_PROGRESS, of: progress.of, cell: event, queue: progress.queue };
    case 'queue':
      return { ...progress, queue: event };
    case 'import-progress':
    case 'preservation':
    case 'checkpoint':
    case 'scaling':
    case 'rounding':
    case 'task':
    case 'statistics':
    case 'submitted':
    case 'warning':
      return progress;
  }
}

function stepped(progress: Progress, { step, of, seconds }: StepEvent): Progress {
  const stepSeconds = [...progress.stepSeconds, seconds].slice(-RECENT_STEPS);
  const secondsLeft = (of - step) * medianOf(stepSeconds);
  return { ...within(progress, 'learn'), step, of, stepSeconds, secondsLeft };
}

/** @param done the share of the phase that was done at a time, ISO 8601. */
function paced(progress: Progress, time: string, done: number): Progress {
  return { ...progress, secondsLeft: secondsLeftOf(progress.phaseStartedAt, time, done) };
}

function begin(progress: Progress, phase: PhaseName, startedAt: string | null): Progress {
  return { ...progress, ...AT_REST, phase, phaseStartedAt: startedAt, underWay: true };
}

/** The present phase goes on; another one, inside or around it, begins at a time that nobody told. */
function within(progress: Progress, phase: PhaseName): Progress {
  return progress.phase === phase && progress.underWay ? progress : begin(progress, phase, null);
}

/** The upper one of an even number. */
function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
