import { z } from 'zod';
import { methodSummaries, methodsOf, nameSchema, optionsShape } from './methods/index.ts';

/** Channels keep the size that they have. */
export const NO_SCALING = 'none';

const summaries = methodsOf('scaling').length > 0 ? `; ${methodSummaries('scaling')}` : '';

export const scalingSchema = z
  .strictObject({
    method: nameSchema('scaling', NO_SCALING)
      .default(NO_SCALING)
      .describe(
        `How the size of channels is moved from activations into weights before both are rounded: none leaves it${summaries}. Reference: none.`,
      ),
    ...optionsShape('scaling'),
  })
  .prefault({})
  .describe('Scales of channels, merged into the gains of the norms and into the weights behind them.');

export type Scaling = z.output<typeof scalingSchema>;
