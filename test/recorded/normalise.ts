/** Takes out of a document what is never the same twice: times, places and who computed it. Numbers stay exact. */
import { createHash } from 'node:crypto';
import { isList, isObject, type Json, type JsonObject, rebuild } from './json.ts';

/** Keys whose values are times or sizes of a process, or name one, or a run by its time. */
const DROPPED: ReadonlySet<string> = new Set([
  'time',
  'seconds',
  'peakBytes',
  'startedAt',
  'finishedAt',
  'measuredAt',
  'id',
  'process',
]);

/** Events that come by the clock. */
const CLOCK_EVENTS: ReadonlySet<string> = new Set(['rounding-progress', 'checkpoint']);

/** Longer lists of numbers are kept as a hash. */
const LONGEST_LIST = 16;

/** Paths, and what stands in their place; the first that fits is taken. */
export type Places = readonly (readonly [path: string, name: string])[];

export function normalise(value: Json, places: Places): Json {
  return rebuild(value, (part) => {
    if (typeof part === 'string') return withoutPlaces(part, places);
    if (isList(part)) return condensed(part);
    return isObject(part) ? withoutTimes(part) : part;
  });
}

export function normaliseEvents(events: readonly JsonObject[], places: Places): Json {
  const kept = events.filter(({ type }) => typeof type !== 'string' || !CLOCK_EVENTS.has(type));
  return normalise(kept, places);
}

function withoutPlaces(text: string, places: Places): string {
  return places.reduce((rest, [path, name]) => rest.replaceAll(path, name), text);
}

function withoutTimes(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !DROPPED.has(key)));
}

/** JSON writes each float64 as the shortest text that reads back to it, so equal texts are equal bits. */
function condensed(list: readonly Json[]): Json {
  if (list.length <= LONGEST_LIST || !list.every((item) => typeof item === 'number')) return list;
  return `${list.length} numbers, ${sha256(JSON.stringify(list))}`;
}

export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
