/** This file converts the forms of earlier versions to the form of today. */
import type { RoundingError } from '../protocol/events.ts';

/** Before events named methods, every rounding event was GPTQ's, and its error had that name. */
const ONLY_METHOD = 'gptq';

/** Converts an event read from a file to the form of this version. */
export function presentForm(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const event = value as Readonly<Record<string, unknown>>;
  if (event.type === 'rounding-progress') return { method: ONLY_METHOD, ...event };
  return event.type === 'rounding' ? { ...event, ...presentRounding(event) } : event;
}

/** A record of the rounding of a layer, in an event or beside its weights. */
export interface RoundingRecord {
  /** Name of the method, as in an experiment. */
  readonly method: string;
  readonly errors: readonly RoundingError[];
  readonly seconds: number;
}

/** @param value a record of this version or of one before. */
export function presentRounding(value: unknown): RoundingRecord {
  const { method = ONLY_METHOD, errors, seconds } = value as Partial<RoundingRecord>;
  return { method, errors: (errors ?? []).map(presentError), seconds: seconds ?? 0 };
}

function presentError({
  linear,
  error,
  gptq,
  nearest,
}: RoundingError & { readonly gptq?: number }): RoundingError {
  return { linear, error: error ?? gptq ?? Number.NaN, nearest };
}
