import { z } from 'zod';
import { BIT_CHOICES, LAYER_CHOICES, TARGETS } from './attribution.ts';

/** More bits for some layers of a target, in the experiment. */
export const exceptSchema = z.strictObject({
  type: z.literal('except'),
  target: z.enum(TARGETS),
  layers: z.enum(LAYER_CHOICES),
  bits: z.literal(BIT_CHOICES),
});

/** The exceptions of a point of the curve. */
export const usePointSchema = z.strictObject({
  type: z.literal('use-point'),
  point: z.int().min(0).max(1000),
});
