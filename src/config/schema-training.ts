import { z } from 'zod';
import { methodSummaries, nameSchema, optionsShape } from './methods/index.ts';

/** With this method, weights are those of the checkpoint. */
export const NO_TRAINING = 'none';

export const trainingSchema = z
  .strictObject({
    method: nameSchema('training', NO_TRAINING)
      .default(NO_TRAINING)
      .describe(
        `The method that trains the weights before they are rounded: none leaves them; ${methodSummaries('training')}. It goes with no rotation and no scaling. Reference: none.`,
      ),
    ...optionsShape('training'),
  })
  .prefault({})
  .describe('Training of the weights themselves, with the quantizers of this experiment in the loop.');

export type Training = z.output<typeof trainingSchema>;
