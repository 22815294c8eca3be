import { z } from 'zod';
import { bitsSchema, groupSizeSchema } from './schema-bits.ts';

/** Groups of linear layers that read the same activations, by the names that experiments give them. */
export const EXCEPTION_SITES = ['qkv', 'o', 'gate-up', 'down'] as const;
export type ExceptionSite = (typeof EXCEPTION_SITES)[number];

/** No model has more layers. */
const MOST_LAYERS = 10_000;

const siteSchema = z.enum(EXCEPTION_SITES);

const bits = bitsSchema.optional().describe('Bits in the place of those of quantization; 16 leaves them.');
const clipRatio = z
  .number()
  .gt(0)
  .max(1)
  .optional()
  .describe('Both ends of the range are multiplied by this, in the place of that of quantization.');

const groupSize = groupSizeSchema
  .optional()
  .describe(
    'Number of consecutive channels that share one scale, in the place of that of quantization; null for one scale per token. The input of o_proj has one scale per head, unless rotation.acrossHeads is on.',
  );

const roundedSchema = (what: string) => z.strictObject({ bits, clipRatio }).optional().describe(what);

export const exceptionSchema = z
  .strictObject({
    layers: z
      .union([
        z
          .string()
          .min(1)
          .max(20)
          .meta({ examples: ['all', 'worst:4', '0-3', '7'] }),
        z.array(z.int().min(0).max(MOST_LAYERS)).min(1).max(MOST_LAYERS),
      ])
      .default('all')
      .describe(
        'The layers, counted from 0: "all", "0-3", "7", a list of numbers, or "worst:4" for the four in which these sites and parts cost most, as `spinquant attribute` finds them.',
      ),
    sites: z
      .union([siteSchema, z.array(siteSchema).min(1).max(EXCEPTION_SITES.length)])
      .default([...EXCEPTION_SITES])
      .describe(
        'The linear layers that activations and weights are those of: qkv, o, gate-up, down, or a list of these. Keys and values have no such sites.',
      ),
    activations: z
      .strictObject({ bits, clipRatio, groupSize })
      .optional()
      .describe('Inputs of the linear layers of these sites.'),
    weights: z.strictObject({ bits }).optional().describe('Weights of the linear layers of these sites.'),
    keys: roundedSchema('Keys of these layers.'),
    values: roundedSchema('Values of these layers.'),
  })
  .describe('Some sites of some layers that are quantized in another way.');

export const exceptionsSchema = z
  .array(exceptionSchema)
  .max(100)
  .optional()
  .describe(
    'Sites and layers that are quantized otherwise than the rest, such as 8 bits where the loss rises most: { "sites": "down", "layers": "worst:4", "activations": { "bits": 8 } }. Where two name the same place, the later one counts. What has 16 bits in quantization stays as it is. Reference: none.',
  );

export type Exception = z.output<typeof exceptionSchema>;
