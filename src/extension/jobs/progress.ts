/** How far a job is, from its events. Knows nothing of the editor; words are made where they are shown. */
import type { PhaseName, RunEvent } from '../../protocol/events.ts';
import { secondsLeftOf } from '../../protocol/pace.ts';

export interface JobProgress {
  readonly phase: PhaseName | null;
  /** When the phase began; ISO 8601. */
  readonly phaseStartedAt: string | null;
  readonly step: number;
  readonly of: number;
  readonly windowsDone: number;
  readonly windows: number;
  /** Whose weights were rounded by GPTQ, and all. */
  readonly layersDone: number;
  readonly layers: number;
  /** Of the present phase where that can be known, else null. */
  readonly fraction: number | null;
  /** Until the steps are done, by the duration of the recent ones, or the weights are rounded; null while nothing is known. */
  readonly secondsLeft: number | null;
  readonly secondsPerStep: number | null;
}

export const NO_PROGRESS: JobProgress = {
  phase: null,
  phaseStartedAt: null,
  step: 0,
  of: 0,
  windowsDone: 0,
  windows: 0,
  layersDone: 0,
  layers: 0,
  fraction: null,
  secondsLeft: null,
  secondsPerStep: null,
};

/** Weight of the newest step: the first also warms caches up, so recent ones count for more. */
const NEWEST = 0.2;

export function advance(progress: JobProgress, event: RunEvent): JobProgress {
  switch (event.type) {
    case 'phase':
      if (event.state === 'finished') return progress;
      return {
        ...progress,
        phase: event.phase,
        phaseStartedAt: event.time,
        fraction: null,
        secondsLeft: null,
      };
    case 'step': {
      const { step, of, seconds } = event;
      const before = progress.secondsPerStep;
      const secondsPerStep = before === null ? seconds : (1 - NEWEST) * before + NEWEST * seconds;
      const secondsLeft = (of - step) * secondsPerStep;
      return { ...progress, phase: 'learn', step, of, fraction: step / of, secondsPerStep, secondsLeft };
    }
    case 'evaluation-progress': {
      const { windowsDone, windows } = event;
      return { ...progress, phase: 'evaluate', windowsDone, windows, fraction: windowsDone / windows };
    }
    case 'rounding-progress': {
      const { layersDone, layers, done, time } = event;
      const secondsLeft = secondsLeftOf(progress.phaseStartedAt, time, done);
      return { ...progress, phase: 'round', layersDone, layers, fraction: done, secondsLeft };
    }
    default:
      return progress;
  }
}
