/** The types of `attribution.json` show where quantization costs the loss, by layer and by what is rounded there. */
import { z } from 'zod';
import { type Exception, exceptionSchema } from '../config/index.ts';
import { ROUNDED_PARTS, type RoundedPart } from '../protocol/block.ts';
import { readVersion1, writeJson } from './files.ts';

/** Nats per predicted token: positive where rounding raises the loss. */
export interface LossRise {
  /** What the loss rises by if this alone is rounded. */
  readonly rise: number;
  /** What the loss of the quantized network falls by if this alone is left at 16 bits. */
  readonly fall: number;
}

/** What rounding one part of one layer costs. */
export interface AttributionCell {
  readonly layer: number;
  readonly part: RoundedPart;
  /** Bits that it is rounded to. */
  readonly bits: number;
  /** The estimate of {@link LossRise.rise}: first and second order at full precision. */
  readonly rise: number;
  /**
   * Its share of the whole rise, in nats per predicted token: the mean slope of the loss on the way from full precision
   * to quantized, along which all roundings grow together. Shares add up to the whole, and may be negative.
   */
  readonly share: number;
  /** Both as they were measured; absent where they were estimated alone. */
  readonly measured?: LossRise;
}

/** What a network with more bits in the dearest places comes to. */
export interface BudgetPoint {
  /** Average bits of what is multiplied. */
  readonly bits: number;
  /** As experiments have them. */
  readonly exceptions: readonly Exception[];
  /** Of each text of the experiment; null where it is too large for a number. */
  readonly perplexity: readonly { readonly name: string; readonly quantized: number | null }[];
}

export interface AttributionFile {
  readonly version: 1;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** How the weights are rounded: the method of the experiment, or to nearest in its place. */
  readonly weights: string;
  /** Tokens that were predicted. */
  readonly tokens: number;
  /** Mean loss in nats per predicted token. */
  readonly loss: { readonly fullPrecision: number; readonly quantized: number };
  /** Layer by layer, in the order of the data flow. What is not rounded has none. */
  readonly cells: readonly AttributionCell[];
  /** Perplexity against bits, the fewest bits first; absent where it was not measured. */
  readonly curve?: readonly BudgetPoint[];
}

/** No model comes near; views make a place for every layer up to the last. */
const MAX_LAYER = 99_999;

export const attributionSchema = z.object({
  version: z.literal(1),
  bits: z.string(),
  weights: z.string(),
  tokens: z.int().min(1),
  loss: z.object({ fullPrecision: z.number(), quantized: z.number() }),
  cells: z.array(
    z.object({
      layer: z.int().min(0).max(MAX_LAYER),
      part: z.enum(ROUNDED_PARTS),
      bits: z.number(),
      rise: z.number(),
      share: z.number(),
      measured: z.object({ rise: z.number(), fall: z.number() }).exactOptional(),
    }),
  ),
  curve: z
    .array(
      z.object({
        bits: z.number(),
        exceptions: z.array(exceptionSchema),
        perplexity: z.array(z.object({ name: z.string(), quantized: z.number().nullable() })),
      }),
    )
    .exactOptional(),
});

/** @param path of `attribution.json`. */
export function writeAttribution(path: string, attribution: AttributionFile): void {
  writeJson(path, attribution);
}

/** @throws UserError `runs/unreadable`, `runs/damaged`, `runs/version`. */
export function readAttribution(path: string): Promise<AttributionFile> {
  return readVersion1(path, attributionSchema, 'an attribution of the loss');
}
