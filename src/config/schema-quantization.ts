import { z } from 'zod';
import { methodSummaries, nameSchema, optionsShape } from './methods/index.ts';
import { bitsSchema, groupSizeSchema } from './schema-bits.ts';
import { exceptionsSchema } from './schema-exceptions.ts';

const groupSize = groupSizeSchema.default(null);
/** In the place of a clip ratio: each site of each layer has its own. */
export const SEARCHED = 'searched';
/** The same, with one for each end of the range, learned from those that are searched. */
export const LEARNED = 'learned';
const clipRatio = z.union([z.number().gt(0).max(1), z.enum([SEARCHED, LEARNED])]).default(1);
const SEARCHED_CLIP =
  '"searched" finds the ratio of each layer from 0.5 to 1, where the layer\'s linear outputs are off by least on the calibration text, before rotations are learned through the network and again behind that; "learned" goes on from there, with a ratio for each end of an asymmetric grid, and follows the divergence of the whole network from the one at full precision. Both cost nothing at run time.';

const weightsSchema = z
  .strictObject({
    bits: bitsSchema
      .default(4)
      .describe(
        'Bits of the weights of every linear layer in the blocks; 16 leaves them. Embeddings and the language-model head always stay. Reference: 16, its scripts pass 4.',
      ),
    method: nameSchema('rounding')
      .default('rtn')
      .describe(`The method that rounds weights: ${methodSummaries('rounding')}. Reference: gptq.`),
    ...optionsShape('rounding'),
    groupSize: groupSize.describe(
      'Number of consecutive inputs of a row that share one scale; null for one scale per output channel. With gptq, too, the scales are those of the weights before rounding, unless gptq.groupScales says otherwise. Reference: null.',
    ),
    symmetric: z
      .boolean()
      .default(true)
      .describe(
        'true for a symmetric grid (no zero point), false for an asymmetric one. Reference: true (its asymmetric weights are broken).',
      ),
    clip: z
      .boolean()
      .default(true)
      .describe(
        'true to search, per scale, the clipping ratio 1.00 to 0.21 with the least error |Q(w)-w|^2.4. Reference: false, its scripts pass true.',
      ),
  })
  .prefault({})
  .describe('Weights of the linear layers in the blocks.');

const activationsSchema = z
  .strictObject({
    bits: bitsSchema
      .default(4)
      .describe(
        'Bits of the input of every linear layer in the blocks, quantized dynamically; 16 leaves them. Reference: 16, its scripts pass 4 or 8.',
      ),
    symmetric: z
      .boolean()
      .default(false)
      .describe('Symmetric or asymmetric grid. Reference: true, its scripts pass false (asymmetric).'),
    fullRange: z
      .boolean()
      .default(false)
      .describe(
        'Of a symmetric grid: true makes the step max|x| / (2^(bits−1) − ½), so that all 2^bits codes cover the range, as compressed-tensors does (max|x| / 7.5 at 4 bits); false makes it max|x| / (2^(bits−1) − 1), the restricted range (max|x| / 7). Reference: false.',
      ),
    groupSize: groupSize.describe(
      'Number of consecutive channels of a token that share one scale; null for one scale per token. The input of o_proj has one scale per head, unless rotation.acrossHeads is on. Reference: null.',
    ),
    clipRatio: clipRatio.describe(
      `Both ends of the range are multiplied by this, above 0 up to 1. ${SEARCHED_CLIP} Reference: 1.0 (QuaRot: 0.9).`,
    ),
  })
  .prefault({})
  .describe('Inputs of the linear layers, one dynamic scale per token.');

function cacheShape(what: 'Keys' | 'Values', where: string) {
  return {
    firstTokens: z
      .int()
      .min(0)
      .max(1024)
      .default(0)
      .describe(
        `The ${what.toLowerCase()} of so many tokens at the beginning of a text stay at 16 bits: attention reads the first ones most (attention sinks). The cache then holds numbers, not codes. Reference: 0.`,
      ),
    bits: bitsSchema
      .default(4)
      .describe(
        `Bits of the ${what.toLowerCase()} in the KV cache, ${where}; 16 leaves them. Reference: 16, its scripts pass 4 or 8.`,
      ),
    symmetric: z
      .boolean()
      .default(false)
      .describe('Symmetric or asymmetric grid. Reference: true, its scripts pass false (asymmetric).'),
    clipRatio: clipRatio.describe(
      `Both ends of the range are multiplied by this, above 0 up to 1. ${SEARCHED_CLIP} Reference: 1.0 (QuaRot: 0.95).`,
    ),
  };
}

/** Parts of keys that are taken out before they are quantized, and come back in the scores. */
export const KEY_PARTS = ['none', 'bias', 'mean'] as const;
export type KeyOffset = (typeof KEY_PARTS)[number];

const KEYS_WHERE = 'after RoPE and R3, one scale per token and head';
const VALUES_WHERE = 'after R2, one scale per token and head';

const keysSchema = z
  .strictObject({
    ...cacheShape('Keys', KEYS_WHERE),
    offset: z
      .enum(['auto', ...KEY_PARTS])
      .default('auto')
      .describe(
        'What is taken out of the keys before they are quantized, and added back in the scores, where it is known at every position: "bias", the bias of k_proj turned by RoPE; "mean", the mean of the keys before RoPE on the calibration text, in which a bias is; or "none". Models without that bias have nothing to take out by "bias". "auto" takes the mean where the experiment reads its calibration text anyway and the keys are rounded better without it there, else the bias. In a table of methods it is "bias" unless written. Reference: none.',
      ),
  })
  .prefault({})
  .describe(`Keys of the attention, ${KEYS_WHERE}.`);

const valuesSchema = z
  .strictObject(cacheShape('Values', VALUES_WHERE))
  .prefault({})
  .describe(`Values of the attention, ${VALUES_WHERE}.`);

export const quantizationSchema = z
  .strictObject({
    weights: weightsSchema,
    activations: activationsSchema,
    keys: keysSchema,
    values: valuesSchema,
    exceptions: exceptionsSchema,
    budget: z
      .number()
      .min(2)
      .max(16)
      .optional()
      .describe(
        'Average bits of what is multiplied, above those of quantization: exceptions of 8 bits are then chosen within it, where they save most of the loss for each bit (`spinquant attribute`). In linear layers a weight and an activation count half each, in attention keys and values. Each cell of a table chooses its own. Not together with exceptions. Reference: none.',
      ),
  })
  .prefault({})
  .describe('The bits and grids of weights, activations and KV cache. W4A4KV4 by default.');

export type Quantization = z.output<typeof quantizationSchema>;
export type WeightQuantization = Quantization['weights'];
export type ActivationQuantization = Quantization['activations'];
export type CacheQuantization = Quantization['values'];
