/** This file converts the forms of earlier versions to the form of today. */

import { z } from 'zod';
import type { RoundingError } from '../protocol/events.ts';
import { isObject } from '../protocol/object.ts';
import { roundingErrorSchema } from './event-schema.ts';
import { measuredNumber } from './numbers.ts';

/** Before events named methods, every rounding event was GPTQ's, and its error had that name. */
const ONLY_METHOD = 'gptq';

/** Converts an event read from a file to the form of this version. What is damaged stays so. */
export function presentForm(value: unknown): unknown {
  if (!isObject(value)) return value;
  if (value.type === 'rounding-progress') return { method: ONLY_METHOD, ...value };
  return value.type === 'rounding' ? presentRounding(value) : value;
}

/** A record of the rounding of a layer, in an event or beside its weights. */
export interface RoundingRecord {
  /** Name of the method, as in an experiment. */
  readonly method: string;
  readonly errors: readonly RoundingError[];
  readonly seconds: number;
  /** What a weight takes on average, all that decodes it included; absent where grids say it. */
  readonly bitsPerWeight?: number | undefined;
}

const roundingRecordSchema = z.object({
  method: z.string(),
  errors: z.array(roundingErrorSchema).default([]),
  seconds: measuredNumber.default(0),
  bitsPerWeight: measuredNumber.optional(),
}) satisfies z.ZodType<RoundingRecord>;

/** @param text of a record of this version or of one before. @returns null where it is damaged. */
export function parseRounding(text: string): RoundingRecord | null {
  try {
    return roundingRecordSchema.safeParse(presentRounding(JSON.parse(text))).data ?? null;
  } catch {
    return null;
  }
}

function presentRounding(value: unknown): unknown {
  if (!isObject(value)) return value;
  const errors = Array.isArray(value.errors) ? value.errors.map(presentError) : value.errors;
  return { method: ONLY_METHOD, ...value, ...(errors !== undefined && { errors }) };
}

function presentError(value: unknown): unknown {
  if (!isObject(value) || !('gptq' in value)) return value;
  const { gptq, ...others } = value;
  return { error: gptq, ...others };
}
