/** Whether keys are quantized without their mean, as a calibration text told. */
import { z } from 'zod';
import { KEY_PARTS, type KeyOffset } from '../config/index.ts';
import { isObject } from '../protocol/object.ts';

export interface KeyOffsetChoice {
  /** The part that keys are quantized without. */
  readonly taken: KeyOffset;
  /** What it is where it is not the mean: `bias` of models that have one. */
  readonly rest: Exclude<KeyOffset, 'mean'>;
  /** How far keys are above the error of their quantizer on the calibration text, on average over the layers. */
  readonly sqnrDb: { readonly rest: number; readonly mean: number };
}

export const keyOffsetSchema = z.object({
  taken: z.enum(KEY_PARTS),
  rest: z.enum(KEY_PARTS).exclude(['mean']),
  sqnrDb: z.object({ rest: z.number(), mean: z.number() }),
}) satisfies z.ZodType<KeyOffsetChoice>;

const choicesSchema = z.record(z.string(), keyOffsetSchema);

/** Reads choices by name, as JSON. @returns none of a text that is absent or damaged: they are then made again. */
export function parseKeyChoices(text: string | undefined): Readonly<Record<string, KeyOffsetChoice>> {
  if (text === undefined) return {};
  try {
    const found: unknown = JSON.parse(text);
    return isObject(found) ? (choicesSchema.safeParse(found).data ?? {}) : {};
  } catch {
    return {};
  }
}
