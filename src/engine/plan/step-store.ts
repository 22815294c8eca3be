/** Results of steps that several experiments share, each in a folder named by its key. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writing } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { EventLog, readEvents, readJson, writeJson } from '../../runs/index.ts';
import type { Work } from '../network/work.ts';
import { nameOfKey } from './key-names.ts';
import type { Step } from './step.ts';
import { type Claim, claimStep, type WhenBusy } from './step-lock.ts';

const FILES = { record: 'step.json', events: 'events.jsonl' } as const;

const recordSchema = z.object({
  version: z.literal(1),
  kind: z.string(),
  name: z.string(),
  key: z.string(),
  /** Seconds of the process that ended it: one that was killed before is not counted. */
  seconds: z.number(),
  /** Largest resident size of the process meanwhile, mapped weights included. */
  peakBytes: z.number(),
  /** What it asked of the machine, as far as it was counted before; absent in records of earlier versions. */
  work: z.object({ flops: z.number(), bytes: z.number(), calls: z.number() }).optional(),
});

export type StepRecord = z.output<typeof recordSchema>;

/** Events that tell what a step found; the others are of its moment. */
const TELLING: readonly RunEvent['type'][] = ['step', 'rounding', 'evaluation', 'task'];

/** A result that was found, and the events that told of it. */
export interface Found<T> {
  readonly result: T;
  readonly events: readonly RunEvent[];
}

export class StepStore {
  readonly folder: string;
  readonly #whenBusy: WhenBusy;
  /** Texts are large in memory and quick to read: they live as long as the process. */
  readonly #texts = new Map<string, unknown>();

  /** @param whenBusy what happens where another process is at work on a step. */
  constructor(folder: string, whenBusy: WhenBusy = 'wait') {
    this.folder = folder;
    this.#whenBusy = whenBusy;
  }

  /** Folder of a step, also of one that is at work. */
  folderOf(key: string): string {
    return join(this.folder, nameOfKey(key));
  }

  async find<T>(step: Step<T>, key: string): Promise<Found<T> | null> {
    if (step.isDerived) return null;
    // Only `keep` sets it, and it sets what a step of this key gave.
    if (step.kind === 'text')
      return this.#texts.has(key) ? { result: this.#texts.get(key) as T, events: [] } : null;
    if (!step.keeping || (await this.record(key)) === null) return null;
    try {
      const result = await step.keeping.read(this.folderOf(key));
      return { result, events: await this.events(key) };
    } catch (error) {
      if (error instanceof UserError) return null;
      throw error;
    }
  }

  /** Takes a step for this process before it runs; null for one that is not kept. @throws StepBusy. */
  async claim(step: Step<unknown>, key: string, signal: AbortSignal | undefined): Promise<Claim | null> {
    if (step.isDerived || step.kind === 'text' || !(step.keeping || step.find)) return null;
    return claimStep(this.folderOf(key), step.name, this.#whenBusy, signal);
  }

  /** Keeps a result. Its record is written last: a folder without one is not whole. */
  async keep<T>(step: Step<T>, key: string, result: T, made: Made): Promise<void> {
    if (step.isDerived) return;
    if (step.kind === 'text') {
      this.#texts.set(key, result);
      return;
    }
    // A step that finds its result by itself has a folder of its own; the store has how long it took.
    if (!step.keeping && !step.find) return;
    const folder = this.folderOf(key);
    await writing(folder, () => mkdir(folder, { recursive: true }));
    await step.keeping?.write(result, folder);
    await this.#keepEvents(folder, made.events);
    const { kind, name } = step;
    const { seconds, peakBytes, work } = made;
    writeJson(join(folder, FILES.record), {
      version: 1,
      kind,
      name,
      key,
      seconds,
      peakBytes,
      ...(work && { work }),
    } satisfies StepRecord);
  }

  /** @returns null where the step has not ended. */
  async record(key: string): Promise<StepRecord | null> {
    const found = await readRecord(this.folderOf(key));
    return found?.key === key ? found : null;
  }

  /** All that ended, of whatever experiment. */
  async records(): Promise<StepRecord[]> {
    const names = existsSync(this.folder) ? await readdir(this.folder) : [];
    const found = await Promise.all(names.map((name) => readRecord(join(this.folder, name))));
    return found.filter((record) => record !== null);
  }

  async events(key: string): Promise<readonly RunEvent[]> {
    const path = join(this.folderOf(key), FILES.events);
    return existsSync(path) ? readEvents(path) : [];
  }

  async #keepEvents(folder: string, events: readonly RunEvent[]): Promise<void> {
    const path = join(folder, FILES.events);
    await rm(path, { force: true });
    const log = new EventLog(path);
    try {
      for (const event of events) if (TELLING.includes(event.type)) log.append(event);
    } finally {
      log.close();
    }
  }
}

/** The record of a step in its folder; null where there is none, or where it cannot be read. */
export async function readRecord(folder: string): Promise<StepRecord | null> {
  const path = join(folder, FILES.record);
  if (!existsSync(path)) return null;
  try {
    const found = recordSchema.safeParse(await readJson(path));
    return found.success ? found.data : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** How a result came about. */
export interface Made {
  readonly events: readonly RunEvent[];
  readonly seconds: number;
  readonly peakBytes: number;
  readonly work: Work | null;
}
