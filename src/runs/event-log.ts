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
import { readFile } from 'node:fs/promises';
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
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []; // No event has been written yet.
    throw diskFault(error, path, 'read');
  }
  let time = new Date(0).toISOString();
  return parseEventLines(bytes).map(({ event, problem }, index): RunEvent => {
    time = event?.time ?? time;
    return (
      event ?? {
        type: 'warning',
        time,
        message: `${path}:${index + 1} is left out: ${problem}.`,
        hint: 'It was damaged, or another version of SpinQuant Lab wrote it. The other lines are shown.',
      }
    );
  });
}

function cutTornLine(path: string): void {
  if (!existsSync(path)) return;
  const bytes = readFileSync(path);
  const whole = bytes.lastIndexOf(10) + 1;
  if (whole < bytes.length) truncateSync(path, whole);
}
