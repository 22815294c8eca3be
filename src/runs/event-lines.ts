import { parseJson } from '../disk/json.ts';
import { messageOf } from '../protocol/errors.ts';
import type { RunEvent } from '../protocol/events.ts';
import { eventSchema } from './event-schema.ts';
import { presentForm } from './old-forms.ts';

/** A line of `events.jsonl`. */
export interface EventLine {
  readonly text: string;
  /** Null where the line is not an event. */
  readonly event: RunEvent | null;
  /** What it is then; empty for an event. */
  readonly problem: string;
  /** The byte offset just after the line's newline. */
  readonly end: number;
}

/** All lines that have their newline. */
export function parseEventLines(bytes: Buffer): EventLine[] {
  const lines: EventLine[] = [];
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    const text = bytes.toString('utf8', start, end);
    start = end + 1;
    lines.push({ text, ...parseLine(text), end: start });
  }
  return lines;
}

function parseLine(text: string): Pick<EventLine, 'event' | 'problem'> {
  let value: unknown;
  try {
    value = parseJson(text, 'it');
  } catch (error) {
    return { event: null, problem: messageOf(error).replace(/\.$/, '') };
  }
  const result = eventSchema.safeParse(presentForm(value));
  if (result.success) return { event: result.data, problem: '' };
  const [issue] = result.error.issues;
  return {
    event: null,
    problem: `it is not an event that this version knows (${issue?.path.join('.') || 'the line'}: ${issue?.message})`,
  };
}
