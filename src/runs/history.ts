import type {
  EvaluationEvent,
  PhaseName,
  PreservationEvent,
  RoundingEvent,
  RunEvent,
  StepEvent,
  Variant,
  WarningEvent,
} from '../protocol/events.ts';
import { advance, NO_PROGRESS, type Progress } from '../protocol/progress.ts';

/**
 * Everything a run has said so far. The same events may come twice, from the file and from the worker: each counts once.
 */
export class RunHistory {
  readonly #steps = new Map<number, StepEvent>();
  /** Ascending; null until it is asked for again. */
  #sorted: StepEvent[] | null = [];
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
        // What measures a run again leaves its steps alone.
        if (event.job === 'optimize') this.#forgetStepsAfter(event.resumedFromStep);
        break;
      case 'phase':
        // A resumed run, and one that is measured again, rounds all layers once more.
        if (event.phase === 'round' && event.state === 'started') this.#rounded.clear();
        break;
      case 'step':
        this.#keepStep(event);
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
      case 'import-progress':
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

  #forgetStepsAfter(last: number): void {
    for (const step of this.#steps.keys()) if (step > last) this.#steps.delete(step);
    this.#sorted = null;
  }

  /** Steps come in their order, by hundreds a second: only one that is made again asks for sorting. */
  #keepStep(event: StepEvent): void {
    this.#steps.set(event.step, event);
    if (event.step > (this.#sorted?.at(-1)?.step ?? 0)) this.#sorted?.push(event);
    else this.#sorted = null;
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
    this.#sorted ??= [...this.#steps.values()].sort((a, b) => a.step - b.step);
    return this.#sorted;
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

  /**
   * Seconds of learning, of rounding and of the evaluation of a network, also of what other runs had computed; null
   * where the network was not evaluated.
   */
  secondsOf(variant: Variant): number | null {
    const evaluations = this.evaluations.filter((event) => event.variant === variant);
    if (evaluations.length === 0) return null;
    return [...this.steps, ...this.rounded, ...evaluations].reduce((sum, { seconds }) => sum + seconds, 0);
  }
}
