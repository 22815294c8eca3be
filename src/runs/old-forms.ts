/** This file converts the forms of earlier versions to the form of today. */
import type { RoundingError } from '../protocol/events.ts';

/** Before events named methods, every rounding event was GPTQ's, and its error had that name. */
const ONLY_METHOD = 'gptq';

/** Converts an event read from a file to the form of this version. */
export function presentForm(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const event = value as Readonly<Record<string, unknown>>;
  if (event.method !== undefined) return event;
  if (event.type === 'rounding-progress') return { ...event, method: ONLY_METHOD };
  if (event.type !== 'rounding') return event;
  return { ...event, method: ONLY_METHOD, errors: presentErrors(event.errors) };
}

/** Converts the rounding errors of a layer, from an event or from the metadata of its weights. */
export function presentErrors(errors: unknown): readonly RoundingError[] {
  if (!Array.isArray(errors)) return [];
  return (errors as (RoundingError & { readonly gptq?: number })[]).map(
    ({ linear, error, gptq, nearest }) => ({ linear, error: error ?? gptq ?? Number.NaN, nearest }),
  );
}
