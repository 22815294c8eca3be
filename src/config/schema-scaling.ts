import { z } from 'zod';
import { methodSummaries, methodsOf, nameSchema, optionsShape } from './methods/index.ts';

/** With this method, channels keep their size. */
export const NO_SCALING = 'none';

const summaries = methodsOf('scaling').length > 0 ? `; ${methodSummaries('scaling')}` : '';

export const scalingSchema = z
  .strictObject({
    method: nameSchema('scaling', NO_SCALING)
      .default(NO_SCALING)
      .describe(
        `The method that moves the size of channels from activations into weights before both are rounded: none leaves it${summaries}. Reference: none.`,
      ),
    ...optionsShape('scaling'),
  })
  .prefault({})
  .describe('Scales of channels, merged into gains and weights.');

export type Scaling = z.output<typeof scalingSchema>;
