import type {
  EvaluationEvent,
  EvaluationProgressEvent,
  PhaseName,
  PreservationEvent,
  RoundingEvent,
  RoundingProgressEvent,
  RunEvent,
  StepEvent,
  WarningEvent,
} from '../../../protocol/events.ts';
import { secondsLeftOf } from '../../../protocol/pace.ts';
import type { StepColumns } from '../../../protocol/panels/training.ts';
import { finite } from '../finite.ts';

/** Steps over which the time of the next one is foretold. */
const RECENT_STEPS = 10;

/**
 * What a run has said so far. The same events may come twice, from the file and from the worker; steps are told apart
 * by their number, the rest by its time.
 */
export class RunHistory {
  readonly #steps = new Map<number, StepEvent>();
  readonly #seen = new Set<string>();
  #of = 0;
  #measures = false;
  #phase: PhaseName | null = null;
  #evaluating: EvaluationProgressEvent | null = null;
  #rounding: RoundingProgressEvent | null = null;
  #roundingStartedAt: string | null = null;
  readonly #rounded = new Map<number, RoundingEvent>();
  readonly #warnings: WarningEvent[] = [];
  readonly #preservation: PreservationEvent[] = [];
  readonly #evaluations: EvaluationEvent[] = [];

  constructor(events: readonly RunEvent[] = []) {
    for (const event of events) this.add(event);
  }

  add(event: RunEvent): void {
    if (event.type === 'step') {
      this.#addStep(event);
      return;
    }
    const key = `${event.time} ${event.type} ${JSON.stringify(event)}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#addOther(event);
  }

  #addStep(event: StepEvent): void {
    this.#steps.set(event.step, event);
    this.#of = event.of;
    this.#phase = 'learn';
  }

  #addOther(event: Exclude<RunEvent, StepEvent>): void {
    switch (event.type) {
      case 'run-started':
        this.#measures ||= event.job !== 'optimize';
        for (const step of this.#steps.keys()) if (step > event.resumedFromStep) this.#steps.delete(step);
        break;
      case 'phase':
        this.#phase = event.state === 'started' ? event.phase : null;
        this.#evaluating = null;
        this.#rounding = null;
        if (this.#phase === 'round') this.#roundAnew(event.time);
        break;
      case 'rounding-progress':
        this.#rounding = event;
        break;
      case 'rounding':
        this.#rounded.set(event.layer, event);
        break;
      case 'evaluation-progress':
        this.#evaluating = event;
        break;
      case 'evaluation':
        this.#evaluating = null;
        this.#evaluations.push(event);
        break;
      case 'warning':
        this.#warnings.push(event);
        break;
      case 'preservation':
        this.#preservation.push(event);
        break;
      case 'run-finished':
        this.#phase = null;
        this.#evaluating = null;
        this.#rounding = null;
        break;
      case 'checkpoint':
      case 'statistics':
        break;
    }
  }

  /** A resumed run, and one that is measured again, rounds all layers once more. */
  #roundAnew(startedAt: string): void {
    this.#roundingStartedAt = startedAt;
    this.#rounded.clear();
  }

  /** Whether rotations are, or were, learned: not in a run that only measures. */
  get learns(): boolean {
    return !this.#measures || this.#steps.size > 0;
  }

  /** Ascending. */
  get steps(): readonly StepEvent[] {
    return [...this.#steps.values()].sort((a, b) => a.step - b.step);
  }

  /** Steps the run is to make; 0 before the first. */
  get of(): number {
    return this.#of;
  }

  /** The phase that is under way. */
  get phase(): PhaseName | null {
    return this.#phase;
  }

  get evaluating(): EvaluationProgressEvent | null {
    return this.#evaluating;
  }

  /** How far the rounding by GPTQ is, while it lasts. */
  get rounding(): (RoundingProgressEvent & { readonly secondsLeft: number | null }) | null {
    const event = this.#rounding;
    return event && { ...event, secondsLeft: secondsLeftOf(this.#roundingStartedAt, event.time, event.done) };
  }

  /** The layers that were rounded by GPTQ, ascending. */
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
    return this.#evaluations.filter(
      (one, index) =>
        !this.#evaluations
          .slice(index + 1)
          .some((later) => later.name === one.name && later.variant === one.variant),
    );
  }

  /** Seconds until the last step at the median pace of the recent ones; null while nothing is learned. */
  get secondsLeft(): number | null {
    const steps = this.steps;
    const last = steps.at(-1);
    if (this.#phase !== 'learn' || !last) return null;
    const recent = steps.slice(-RECENT_STEPS).map(({ seconds }) => seconds);
    recent.sort((a, b) => a - b);
    return (last.of - last.step) * recent[recent.length >> 1]!;
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
