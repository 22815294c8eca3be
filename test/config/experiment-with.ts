import { type Experiment, experimentSchema } from '../../src/config/index.ts';

/** An experiment without any fault, and what a case changes in it. */
export function experimentWith(change: (draft: Experiment) => void): Experiment {
  const draft = experimentSchema.parse({
    model: 'm',
    calibration: { text: 'c.txt' },
    evaluation: { perplexity: [{ name: 'w', text: 't.txt' }] },
  });
  change(draft);
  return draft;
}
