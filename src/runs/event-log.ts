/** `events.jsonl` has one event a line. Events are only appended, and cut back when a run resumes. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { diskFault, writingNow } from '../disk/faults.ts';
import { messageOf, UserError } from '../protocol/errors.ts';
import { isRunEvent, type PhaseName, type RunEvent } from '../protocol/events.ts';
import { presentForm } from './old-forms.ts';

/** Appends events. A file has one writer. */
export class EventLog {
  private readonly path: string;
  private file: number | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** Writes one whole line. A checkpoint is flushed to the disk, so that the steps before it outlive a power cut. */
  append(event: RunEvent): void {
    writingNow(this.path, () => {
      if (this.file === null) {
        cutTornLine(this.path);
        this.file = openSync(this.path, 'a');
      }
      writeSync(this.file, `${JSON.stringify(event)}\n`);
      if (event.type === 'checkpoint' || event.type === 'run-finished') fsyncSync(this.file);
    });
  }

  /**
   * Drops everything after the last `step` or `checkpoint` event of at most this step. The run did this after the
   * checkpoint from which it resumes. With no such event, it drops everything from the first step on.
   */
  truncateAfterStep(step: number): void {
    this.close();
    if (!existsSync(this.path)) return;
    const { events, ends } = parseLines(readFileSync(this.path), this.path);
    const numbered = events.map((event) =>
      event.type === 'step' || event.type === 'checkpoint' ? event.step : null,
    );
    const last = numbered.findLastIndex((number) => number !== null && number <= step);
    const firstStep = numbered.findIndex((number) => number !== null);
    const kept = last >= 0 ? last + 1 : firstStep >= 0 ? firstStep : events.length;
    truncateSync(this.path, kept === 0 ? 0 : ends[kept - 1]!);
  }

  /**
   * Drops everything after the last end of a phase.
   * @returns false, with nothing dropped, where the phase has not ended.
   */
  truncateAfterPhase(phase: PhaseName): boolean {
    this.close();
    if (!existsSync(this.path)) return false;
    const { events, ends } = parseLines(readFileSync(this.path), this.path);
    const last = events.findLastIndex(
      (event) => event.type === 'phase' && event.phase === phase && event.state === 'finished',
    );
    const end = ends[last];
    if (end === undefined) return false;
    truncateSync(this.path, end);
    return true;
  }

  close(): void {
    if (this.file !== null) closeSync(this.file);
    this.file = null;
  }
}

/**
 * Reads all events. A last line without its newline (the writer was killed in the middle) is left out.
 * @throws UserError `runs/damaged` with the number of a line that is not an event.
 */
export async function readEvents(path: string): Promise<RunEvent[]> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // No event has been written yet.
    throw diskFault(error, path, 'read');
  }
  return parseLines(bytes, path).events;
}

interface Lines {
  readonly events: RunEvent[];
  /** The byte offset just after each event's newline. */
  readonly ends: number[];
}

function parseLines(bytes: Buffer, path: string): Lines {
  const events: RunEvent[] = [];
  const ends: number[] = [];
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    events.push(parseLine(bytes.toString('utf8', start, end), path, events.length + 1));
    start = end + 1;
    ends.push(start);
  }
  return { events, ends };
}

function parseLine(line: string, path: string, number: number): RunEvent {
  let problem = 'not an event that this version knows';
  try {
    const value = presentForm(JSON.parse(line));
    if (isRunEvent(value)) return value;
  } catch (error) {
    problem = messageOf(error);
  }
  throw new UserError(
    'runs/damaged',
    `${path}:${number} cannot be read: ${problem}.`,
    'Delete that line, or use the version of SpinQuant Lab that wrote the run.',
  );
}

function cutTornLine(path: string): void {
  if (!existsSync(path)) return;
  const bytes = readFileSync(path);
  const whole = bytes.lastIndexOf(10) + 1;
  if (whole < bytes.length) truncateSync(path, whole);
}
