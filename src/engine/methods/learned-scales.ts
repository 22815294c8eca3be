import type { MethodOptions } from '../../config/index.ts';
import { timed } from '../../protocol/events.ts';
import { partialOf, recordOf } from '../../protocol/records.ts';
import { type SeamState, seamOf, seamsIn } from '../network/seams.ts';
import { addWork, NO_WORK } from '../network/work.ts';
import { learnScales } from '../training/scales/learn.ts';
import { scaleLearningWork } from '../training/scales/work.ts';
import { TopDivergence } from '../training/top-divergence.ts';
import { balancingWork, findBalanced } from '../transform/balance/find-scales.ts';
import type { ScalingMethod, ScalingWork } from './method.ts';

type Options = MethodOptions<'learned-scales'>;

/** Sequences that balanced scales are found on. */
const BALANCED_ON = 64;

/**
 * The scales of OSTQuant (Hu et al. 2025) behind norms, of values and in front of down_proj, learned by its KL-Top with
 * rotations that stay: captured activations give better ones than learning through the network.
 */
export const method: ScalingMethod<Options> = {
  kind: 'scaling',
  version: 1,
  samples: ({ samples }) => samples,
  maps: {
    'attention-norm': { kind: 'diagonal' },
    'mlp-norm': { kind: 'diagonal' },
    'value-scale': { kind: 'diagonal' },
    'up-scale': { kind: 'diagonal' },
  },
  readsQuantizers: () => true,
  cost({ config, text, options: { steps, batchSize, start } }) {
    const learning = scaleLearningWork(config, { ...text, sequences: batchSize }, steps);
    const seen = { ...text, sequences: Math.min(text.sequences, BALANCED_ON) };
    return { work: addWork(learning, start === 'balance' ? balancingWork(config, seen) : NO_WORK), bytes: 0 };
  },
  async *scale(work, signal) {
    const { network, options, blocks, state } = work;
    const { seed } = options;
    const learning = learnScales(
      {
        network: work.learning(),
        loss: new TopDivergence(work.cache, network),
        fixed: state,
        start: await startOf(work, signal),
        ...{ blocks, options, seed },
        kept: await work.training(),
      },
      signal,
    );
    for (;;) {
      const next = await learning.next();
      if (next.done) return next.value;
      const { step, loss } = next.value;
      const done = step / options.steps;
      const progress = { layersDone: Math.floor(done * network.layers), layers: network.layers, done, loss };
      yield timed({ type: 'rounding-progress', method: 'learned-scales', ...progress });
    }
  },
};

async function startOf(
  { cache, network, blocks, options, added }: ScalingWork<Options>,
  signal?: AbortSignal,
): Promise<SeamState> {
  const { config } = network.checkpoint;
  const ones = recordOf(seamsIn(added), (seam) =>
    Array.from({ length: network.layers }, () => new Float32Array(seamOf(seam, config).channels).fill(1)),
  );
  if (options.start === 'ones') return ones;
  const found: SeamState = await findBalanced(cache, network, blocks.slice(0, BALANCED_ON), signal);
  return { ...ones, ...partialOf(seamsIn(found), (seam) => (added[seam] ? found[seam] : null)) };
}
