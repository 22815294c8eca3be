import type {
  EvaluationEvent,
  PhaseName,
  PreservationEvent,
  RoundingEvent,
  RunEvent,
  StepEvent,
  WarningEvent,
} from '../../../protocol/events.ts';
import type { StepColumns } from '../../../protocol/panels/training.ts';
import { advance, NO_PROGRESS, type Progress } from '../../../protocol/progress.ts';
import { finite } from '../finite.ts';

/**
 * Everything a run has said so far. The same events may come twice, from the file and from the worker: each counts once.
 */
export class RunHistory {
  readonly #steps = new Map<number, StepEvent>();
  readonly #seen = new Set<string>();
  #progress = NO_PROGRESS;
  #measures = false;
  readonly #rounded = new Map<number, RoundingEvent>();
  readonly #warnings: WarningEvent[] = [];
  readonly #preservation: PreservationEvent[] = [];
  readonly #evaluations = new Map<string, EvaluationEvent>();

  constructor(events: readonly RunEvent[] = []) {
    for (const event of events) this.add(event);
  }

  add(event: RunEvent): void {
    if (!this.#isNew(event)) return;
    this.#progress = advance(this.#progress, event);
    this.#keep(event);
  }

  /** Steps are many, so their number and time stand for them. */
  #isNew(event: RunEvent): boolean {
    if (event.type === 'step') return this.#steps.get(event.step)?.time !== event.time;
    const key = `${event.time} ${event.type} ${JSON.stringify(event)}`;
    const isNew = !this.#seen.has(key);
    this.#seen.add(key);
    return isNew;
  }

  #keep(event: RunEvent): void {
    switch (event.type) {
      case 'run-started':
        this.#measures ||= event.job !== 'optimize';
        for (const step of this.#steps.keys()) if (step > event.resumedFromStep) this.#steps.delete(step);
        break;
      case 'phase':
        // A resumed run, and one that is measured again, rounds all layers once more.
        if (event.phase === 'round' && event.state === 'started') this.#rounded.clear();
        break;
      case 'step':
        this.#steps.set(event.step, event);
        break;
      case 'rounding':
        this.#rounded.set(event.layer, event);
        break;
      case 'evaluation': {
        const key = `${event.name} ${event.variant}`;
        this.#evaluations.delete(key);
        this.#evaluations.set(key, event);
        break;
      }
      case 'warning':
        this.#warnings.push(event);
        break;
      case 'preservation':
        this.#preservation.push(event);
        break;
      case 'download-progress':
      case 'training-progress':
      case 'rounding-progress':
      case 'evaluation-progress':
      case 'checkpoint':
      case 'task-progress':
      case 'task':
      case 'statistics':
      case 'run-finished':
        break;
    }
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** Rotations are, or were, learned: not in a run that only measures. */
  get learns(): boolean {
    return !this.#measures || this.#steps.size > 0;
  }

  /** Ascending. */
  get steps(): readonly StepEvent[] {
    return [...this.#steps.values()].sort((a, b) => a.step - b.step);
  }

  /** The phase that is under way. */
  get phase(): PhaseName | null {
    return this.#progress.underWay ? this.#progress.phase : null;
  }

  /** The layers whose weights were rounded, ascending. */
  get rounded(): readonly RoundingEvent[] {
    return [...this.#rounded.values()].sort((a, b) => a.layer - b.layer);
  }

  get warnings(): readonly WarningEvent[] {
    return this.#warnings;
  }

  get preservation(): readonly PreservationEvent[] {
    return this.#preservation;
  }

  /** The last measurement of each text and variant. */
  get evaluations(): readonly EvaluationEvent[] {
    return [...this.#evaluations.values()];
  }
}

/** Points in a line that a panel can show apart; longer runs are thinned out. */
const MAX_POINTS = 1000;

/** The steps as columns. JSON writes numbers that are not finite as null: so do we. */
export function stepColumns(steps: readonly StepEvent[]): StepColumns {
  const thin = thinned(steps);
  const column = (value: (step: StepEvent) => number | null) => thin.map((step) => finite(value(step)));
  return {
    step: thin.map(({ step }) => step),
    loss: column(({ loss }) => loss),
    gradientNorm: column(({ gradientNorm }) => gradientNorm),
    learningRate: column(({ learningRate }) => learningRate),
    stepCapR1: column(({ stepCap }) => stepCap.r1),
    stepCapR2: column(({ stepCap }) => stepCap.r2Max),
    orthogonalityError: column(({ orthogonalityError }) => orthogonalityError),
    distanceR1: column(({ distanceFromStart }) => distanceFromStart.r1),
    distanceR2: column(({ distanceFromStart }) => distanceFromStart.r2),
    seconds: column(({ seconds }) => seconds),
  };
}

/** Every k-th step, and always the last and those whose loss is not a number. */
function thinned(steps: readonly StepEvent[]): readonly StepEvent[] {
  const stride = 2 ** Math.ceil(Math.log2(Math.max(1, steps.length / MAX_POINTS)));
  if (stride === 1) return steps;
  return steps.filter(
    ({ loss }, index) => index % stride === 0 || index === steps.length - 1 || finite(loss) === null,
  );
}
