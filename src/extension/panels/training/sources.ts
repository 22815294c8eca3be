import type { RunEvent } from '../../../protocol/events.ts';
import type { Problem } from '../../../protocol/panels/common.ts';
import type { TrainingStrings } from '../../../protocol/panels/training-strings.ts';
import { type EventPlace, FROM_THE_START, type Run, RunHistory } from '../../../runs/index.ts';
import { runName } from '../../runs/names.ts';
import type { Services } from '../../services.ts';
import { language } from '../../words.ts';
import { modelName } from '../names.ts';
import { problemOf } from '../problem.ts';
import { type LearningFacts, learningFacts, NO_LEARNING } from './learning.ts';
import type { TrainingSource } from './state.ts';

interface Known {
  readonly history: RunHistory;
  readonly model: string;
  readonly learning: LearningFacts;
  readonly unreadable: Problem | null;
  /** How far its log was read. */
  readonly place: EventPlace;
}

/** The histories of the runs shown: read from their folders once, then followed by the worker's events. */
export class TrainingSources {
  readonly #services: Services;
  readonly #strings: TrainingStrings;
  readonly #known = new Map<string, Promise<Known>>();
  /** Events that came while the file was being read, or since. */
  readonly #live = new Map<string, RunEvent[]>();
  /** Runs whose files changed since. */
  readonly #stale = new Set<string>();

  constructor(services: Services, strings: TrainingStrings) {
    this.#services = services;
    this.#strings = strings;
  }

  /** An event of a running job. @returns whether its run is shown. */
  async hear(dir: string, event: RunEvent): Promise<boolean> {
    const known = this.#known.get(dir);
    if (!known) return false;
    this.#live.get(dir)?.push(event);
    (await known).history.add(event);
    return true;
  }

  /** The files of a run changed, and nobody tells its events: read them again when they are next asked for. */
  forget(dir: string): void {
    if (this.#services.jobs.running?.runDir === dir || !this.#known.has(dir)) return;
    this.#stale.add(dir);
    // The worker told more than stands in the file: that alone counts from now on.
    if ((this.#live.get(dir)?.length ?? 0) > 0) this.#known.delete(dir);
  }

  /** Keeps only these runs. */
  retain(dirs: readonly string[]): void {
    for (const dir of this.#known.keys())
      if (!dirs.includes(dir)) {
        this.#known.delete(dir);
        this.#live.delete(dir);
        this.#stale.delete(dir);
      }
  }

  async get(run: Run): Promise<TrainingSource> {
    const name = runName(run, this.#services.runs.annotation(run.dir), language());
    const known = await this.#open(run);
    return { ...known, name, record: run.record };
  }

  #open(run: Run): Promise<Known> {
    const known = this.#known.get(run.dir);
    const isStale = this.#stale.delete(run.dir);
    if (known && !isStale) return known;
    if (!known) this.#live.set(run.dir, []);
    const reading = known ? known.then((before) => this.#readOn(run, before)) : this.#read(run);
    this.#known.set(run.dir, reading);
    return reading;
  }

  /** The same with what was written since; all anew where the log was cut back, or could not be read. */
  async #readOn(run: Run, before: Known): Promise<Known> {
    if (before.unreadable !== null) return this.#read(run);
    try {
      const { events, place, isWhole } = await run.readEventsFrom(before.place);
      if (isWhole) return await this.#read(run);
      for (const event of events) before.history.add(event);
      return { ...before, place };
    } catch {
      return this.#read(run); // It says what is wrong.
    }
  }

  async #read(run: Run): Promise<Known> {
    try {
      const [{ events, place }, experiment] = await Promise.all([
        run.readEventsFrom(FROM_THE_START),
        run.readExperiment(),
      ]);
      const history = new RunHistory(events);
      for (const event of this.#live.get(run.dir) ?? []) history.add(event);
      return {
        history,
        model: modelName(run, experiment.model),
        learning: learningFacts(experiment.rotation.learning),
        unreadable: null,
        place,
      };
    } catch (error) {
      const { message, hint } = problemOf(error, this.#services.log);
      return {
        history: new RunHistory(),
        model: modelName(run, ''),
        learning: NO_LEARNING,
        unreadable: { message: `${this.#strings.unreadable} ${message}`, hint },
        place: FROM_THE_START,
      };
    }
  }
}
