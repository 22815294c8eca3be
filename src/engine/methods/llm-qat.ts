import type { MethodOptions } from '../../config/index.ts';
import { timed } from '../../protocol/events.ts';
import { Student } from '../training/student.ts';
import { Teacher } from '../training/teacher.ts';
import { trainWeights } from '../training/train.ts';
import { trainingWork } from '../training/training-work.ts';
import { weightsOf, zerosLike } from '../training/weight-set.ts';
import type { TrainingMethod } from './method.ts';

type Options = MethodOptions<'llm-qat'>;

/**
 * LLM-QAT (Liu et al. 2023): all weights are trained on text that the full-precision network wrote, against its logits.
 * The quantizers in the loop are those of the deployed network, with the straight-through derivative 1 everywhere, where
 * the paper has symmetric ones of its own (section 3.2).
 */
export const method: TrainingMethod<Options> = {
  kind: 'training',
  version: 1,
  written: ({ samples }) => samples,
  cost: ({ config, text, quantizers, options }) => {
    const { length } = text;
    const { batchSize } = options;
    const batch = { sequences: Math.min(batchSize, text.sequences), length };
    return trainingWork(config, batch, { steps: stepsOf(options, text.sequences), quantizers });
  },
  async *train({ cache, teacher: network, blocks, quantizers, memory, seed, kept, options }, signal) {
    const { checkpoint } = network;
    const own = weightsOf(checkpoint);
    const state = kept.state(own);
    const weights = state?.weights ?? own;
    const moments = state?.moments ?? { first: zerosLike(own), second: zerosLike(own) };
    const { batchSize, learningRate } = options;
    const steps = stepsOf(options, blocks.length);
    const task = {
      teacher: new Teacher(cache, network),
      student: new Student(cache, weights, { config: checkpoint.config, quantizers, memory }),
      moments,
      from: state?.step ?? 0,
      blocks,
      kept,
      ...{ steps, batchSize, learningRate, seed },
    };
    for await (const { step, loss } of trainWeights(cache, task, signal))
      yield timed({
        type: 'training-progress',
        method: 'llm-qat',
        work: 'train',
        done: step,
        of: steps,
        loss,
      });
  },
};

/** One pass over the sequences, where the options do not say. */
function stepsOf({ steps, batchSize }: Options, sequences: number): number {
  return steps ?? Math.ceil(sequences / batchSize);
}
