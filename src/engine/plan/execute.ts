import { throwIfCancelled } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { withoutLaterOptions } from './later-options.ts';
import type { PhaseSeconds } from './phases.ts';
import type { Places } from './places.ts';
import { digestOf, type Step, type StepContext } from './step.ts';
import type { Workbench } from './workbench.ts';

/** Runs the steps whose result is missing, each once, inputs first. */
export class Executor implements StepContext {
  readonly bench: Workbench;
  readonly places: Places;
  readonly seconds: PhaseSeconds;
  readonly signal: AbortSignal | undefined;
  readonly #results = new Map<Step<unknown>, unknown>();
  readonly #keys = new Map<Step<unknown>, Promise<string>>();

  constructor(bench: Workbench, places: Places, seconds: PhaseSeconds, signal: AbortSignal | undefined) {
    this.bench = bench;
    this.places = places;
    this.seconds = seconds;
    this.signal = signal;
  }

  async *execute<T>(step: Step<T>): AsyncGenerator<RunEvent, T> {
    if (this.#results.has(step)) return this.of(step);
    for (const input of step.inputs) yield* this.execute(input);
    throwIfCancelled(this.signal);
    const kept = step.find ? await step.find(this, await this.keyOf(step)) : null;
    const result = kept ?? (yield* step.run(this));
    this.#results.set(step, result);
    return result;
  }

  of<T>(step: Step<T>): T {
    if (!this.#results.has(step)) throw new Error(`${step.name} has not run`);
    // Only `execute` sets a result, and it sets the step's own.
    return this.#results.get(step) as T;
  }

  /** Inputs count by what they are, not by the way to them; the model and the runtime count too. */
  keyOf(step: Step<unknown>): Promise<string> {
    const known = this.#keys.get(step) ?? this.#makeKey(step);
    this.#keys.set(step, known);
    return known;
  }

  async #makeKey(step: Step<unknown>): Promise<string> {
    const { checkpoint, runtime } = this.bench;
    const { kind, name, version, inputs } = step;
    return digestOf({
      kind,
      name,
      version,
      spec: withoutLaterOptions(step.spec()),
      inputs: inputs.map((input) => input.digest(this.of(input))),
      model: await checkpoint.hash(),
      kernels: runtime.kernels,
      device: runtime.device.kind,
    });
  }
}
