/** `events.jsonl` has one event a line. Events are only appended, and cut back when a run resumes. */

import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { diskFault, writingNow } from '../disk/faults.ts';
import { codeOf } from '../protocol/errors.ts';
import type { PhaseName, RunEvent } from '../protocol/events.ts';
import { type EventLine, parseEventLines } from './event-lines.ts';
import { writeText } from './files.ts';

/** Appends events. A file has one writer. */
export class EventLog {
  private readonly path: string;
  private file: number | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Writes one whole line, or nothing where that fails. A checkpoint is flushed to the disk, so that the steps before it
   * outlive a power cut.
   */
  append(event: RunEvent): void {
    writingNow(this.path, () => {
      if (this.file === null) {
        cutTornLine(this.path);
        this.file = openSync(this.path, 'a');
      }
      appendWhole(this.file, Buffer.from(`${JSON.stringify(event)}\n`));
      if (event.type === 'checkpoint' || event.type === 'run-finished') fsyncSync(this.file);
    });
  }

  /**
   * Drops everything after the last `step` or `checkpoint` event of at most this step. The run did this after the
   * checkpoint from which it resumes. With no such event, it drops everything from the first step on.
   */
  truncateAfterStep(step: number): void {
    const lines = this.readLines();
    const numbers = lines.map(({ event }) => numberOf(event));
    const last = numbers.findLastIndex((number) => number !== null && number <= step);
    const firstStep = numbers.findIndex((number) => number !== null);
    const kept = last >= 0 ? last + 1 : firstStep >= 0 ? firstStep : lines.length;
    const end = lines[kept - 1]?.end ?? 0;
    if (kept < lines.length) truncateSync(this.path, end);
  }

  /**
   * Drops everything after the last end of a phase.
   * @returns false, with nothing dropped, where the phase has not ended.
   */
  truncateAfterPhase(phase: PhaseName): boolean {
    const last = this.readLines().findLast(
      ({ event }) => event?.type === 'phase' && event.phase === phase && event.state === 'finished',
    );
    if (last === undefined) return false;
    truncateSync(this.path, last.end);
    return true;
  }

  /** Drops later steps and their checkpoints, wherever they stand: they are about to be done again. */
  dropStepsAfter(step: number): void {
    const isLater = ({ event }: EventLine) => (numberOf(event) ?? 0) > step;
    const lines = this.readLines();
    if (!lines.some(isLater)) return;
    const kept = lines.filter((line) => !isLater(line));
    writeText(this.path, kept.map(({ text }) => `${text}\n`).join(''));
  }

  close(): void {
    if (this.file !== null) closeSync(this.file);
    this.file = null;
  }

  private readLines(): EventLine[] {
    this.close();
    return existsSync(this.path) ? parseEventLines(readFileSync(this.path)) : [];
  }
}

/** The step that an event is of; null for other events. */
function numberOf(event: RunEvent | null): number | null {
  return event?.type === 'step' || event?.type === 'checkpoint' ? event.step : null;
}

/** A single write may be short, and one that fails may have written a part. */
function appendWhole(file: number, bytes: Uint8Array): void {
  const { size } = fstatSync(file);
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
  } catch (error) {
    ftruncateSync(file, size);
    throw error;
  }
}

/**
 * Reads all events. In the place of a line that is not an event stands a warning that names it. A last line without its
 * newline (the writer was killed in the middle) is left out.
 */
export async function readEvents(path: string): Promise<RunEvent[]> {
  return (await readEventsFrom(path, FROM_THE_START)).events;
}

/** How far a log was read. */
export interface EventPlace {
  /** Bytes, and lines, that were read. */
  readonly end: number;
  readonly lines: number;
  /** The last bytes before it: where they changed, the log was cut back and written anew. */
  readonly last: Buffer;
}

export const FROM_THE_START: EventPlace = { end: 0, lines: 0, last: Buffer.alloc(0) };
/** As much as tells an event from another one: it begins with its time. */
const LAST_BYTES = 256;

export interface EventsFrom {
  readonly events: RunEvent[];
  readonly place: EventPlace;
  /** These are all events, since what was read before is no longer there. */
  readonly isWhole: boolean;
}

/** Reads the events behind a place; see {@link readEvents}. A log of thousands of steps is not read again for one. */
export async function readEventsFrom(path: string, from: EventPlace): Promise<EventsFrom> {
  const start = from.end - from.last.length;
  let bytes = await readBytes(path, start);
  const goesOn = bytes.subarray(0, from.last.length).equals(from.last);
  if (!goesOn) bytes = await readBytes(path, 0);
  const known = goesOn ? from : FROM_THE_START;
  const fresh = bytes.subarray(known.last.length);
  const lines = parseEventLines(fresh);
  const end = lines.at(-1)?.end ?? 0;
  let time = new Date(0).toISOString();
  const events = lines.map(({ event, problem }, index): RunEvent => {
    time = event?.time ?? time;
    return (
      event ?? {
        type: 'warning',
        time,
        message: `${path}:${known.lines + index + 1} is left out: ${problem}.`,
        hint: 'It was damaged, or another version of SpinQuant Lab wrote it. The other lines are shown.',
      }
    );
  });
  const read = bytes.subarray(0, known.last.length + end);
  const last = Buffer.from(read.subarray(Math.max(0, read.length - LAST_BYTES)));
  const place = { end: known.end + end, lines: known.lines + lines.length, last };
  return { events, place, isWhole: known === FROM_THE_START };
}

/** The bytes of a file from one on. */
async function readBytes(path: string, start: number): Promise<Buffer> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const bytes = Buffer.alloc(Math.max(0, size - start));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return Buffer.alloc(0); // No event has been written yet.
    throw diskFault(error, path, 'read');
  }
}

function cutTornLine(path: string): void {
  if (!existsSync(path)) return;
  const bytes = readFileSync(path);
  const whole = bytes.lastIndexOf(10) + 1;
  if (whole < bytes.length) truncateSync(path, whole);
}
