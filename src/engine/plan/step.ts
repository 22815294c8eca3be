import { createHash } from 'node:crypto';
import type { RunEvent } from '../../protocol/events.ts';
import type { Cost } from '../network/work.ts';
import type { PhaseSeconds } from './phases.ts';
import type { Places } from './places.ts';
import type { Workbench } from './workbench.ts';

/**
 * `text` reads or writes one, `train` changes weights, `transform` finds maps, `round` puts weights on their grid,
 * `measure` leaves the network alone.
 */
export type StepKind = 'text' | 'train' | 'transform' | 'round' | 'measure';

/**
 * One piece of an experiment, with a key of everything that decides its result. A step whose result is kept under its
 * key is not run again: resuming, sharing and measuring again all follow from that.
 */
export interface Step<T> {
  readonly kind: StepKind;
  readonly name: string;
  /** Raised when results come out otherwise than in the version before. */
  readonly version: number;
  /** True where it only takes a part of another's result, which costs nothing. */
  readonly isDerived?: true;
  /** True where rank 0 alone runs it: no other step reads it, and ranks have no part in it. */
  readonly isLeaders?: true;
  /** Steps that run before, in this order. */
  readonly inputs: readonly Step<unknown>[];
  /** Plain data that decides the result, beside the inputs and the runtime. */
  spec(): unknown;
  /** How its result is kept for other experiments; absent where making it again costs nothing. */
  readonly keeping?: Keeping<T>;
  /** A result that is kept under this key; null where there is none. */
  find?(context: StepContext, key: string): Promise<T | null> | T | null;
  /** The folder of what it keeps by itself, beside the runs. */
  folder?(bench: Workbench, key: string): string;
  /**
   * What running it is expected to ask of the machine; absent where it takes no time to speak of. It may read results of
   * texts alone: nothing else has run when it is asked.
   */
  cost?(context: StepContext): Cost;
  run(context: StepContext): AsyncGenerator<RunEvent, T>;
  /** Tells what a result is, whichever way it came about: rotations from a file equal those that were learned. */
  digest(result: T): string;
}

/** How a result lies in a folder. */
export interface Keeping<T> {
  write(result: T, folder: string): Promise<void>;
  /** @throws UserError where a file is damaged: the result is then made again. */
  read(folder: string): Promise<T>;
}

/** Everything that a step works with. */
export interface StepContext {
  readonly bench: Workbench;
  readonly places: Places;
  readonly seconds: PhaseSeconds;
  readonly signal: AbortSignal | undefined;
  /** The result of a step that ran before. */
  of<T>(step: Step<T>): T;
  keyOf(step: Step<unknown>): Promise<string>;
}

/** A step that takes its result out of another's. It is never kept: its key does not tell what is taken. */
export function derivedStep<T, U>(
  kind: StepKind,
  name: string,
  from: Step<T>,
  pick: (result: T) => U,
  digest: (result: U) => string,
): Step<U> {
  return {
    kind,
    name,
    version: 1,
    inputs: [from],
    isDerived: true,
    spec: () => null,
    digest,
    // biome-ignore lint/correctness/useYield: nothing happens that is worth an event.
    async *run(context) {
      return pick(context.of(from));
    },
  };
}

/** Every step that targets need, inputs first. */
export function withInputs(targets: readonly Step<unknown>[]): Step<unknown>[] {
  const found = new Set<Step<unknown>>();
  const visit = (step: Step<unknown>): void => {
    for (const input of step.inputs) visit(input);
    found.add(step);
  };
  for (const target of targets) visit(target);
  return [...found];
}

/** SHA-256 of plain data and of arrays of numbers, in hexadecimal. */
export function digestOf(data: unknown, arrays: Iterable<ArrayBufferView & { length: number }> = []): string {
  const hash = createHash('sha256').update(JSON.stringify(data) ?? '');
  for (const array of arrays) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    hash.update(`\n${array.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}
