import { optionsOf, type ResolvedExperiment, roundingOf } from '../../../config/index.ts';
import { loadMethod } from '../../methods/index.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import type { RoundedSource } from '../../network/rounded-weights.ts';
import type { SeamState } from '../../network/seams.ts';
import { RoundedLayers } from '../../rounding/rounded-layers.ts';
import { roundingNetwork, roundingSpec } from '../networks.ts';
import { phase } from '../phases.ts';
import type { Step, StepContext } from '../step.ts';
import { oldRoundingKey } from './old-rounding-key.ts';
import { type Blocks, firstBlocks } from './texts.ts';

/** Weights that were rounded before a network reads them; null where networks round by themselves. */
export type Weights = Step<RoundedSource | null>;

export async function weightsStep(
  experiment: ResolvedExperiment,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
): Promise<Weights | null> {
  const descriptor = roundingOf(experiment.quantization);
  const method = descriptor && (await loadMethod(descriptor.name, 'rounding'));
  if (!descriptor || !method?.round) return null;
  const { round, version } = method;
  const { name } = descriptor;
  const options = optionsOf(experiment.quantization.weights, name);
  const blocks = firstBlocks(calibration, round.samples(options));
  const oldKey = (context: StepContext) =>
    oldRoundingKey(context.bench, experiment, context.of(maps), context.of(blocks));
  const step: Weights = {
    kind: 'round',
    name,
    version,
    inputs: [blocks, maps],
    spec: () => roundingSpec(experiment, options),
    digest: (weights) => (weights instanceof RoundedLayers ? weights.key : ''),
    async find(context, key) {
      const { bench, places } = context;
      for (const folder of places.others('rounded')) {
        const kept = new RoundedLayers(folder, key, await oldKey(context));
        if (kept.isComplete(bench.checkpoint.config.layers)) return kept;
      }
      return null;
    },
    async *run(context) {
      const { bench, places, seconds, signal } = context;
      const key = await context.keyOf(step);
      const check = () => assertUnchanged(bench.checkpoint.files);
      const layers = new RoundedLayers(await places.make('rounded'), key, await oldKey(context), check);
      const network = roundingNetwork(bench, context.of(maps));
      const work = { cache: bench.cache, network, blocks: context.of(blocks), options, layers };
      yield* phase('round', seconds, () => round.run(work, signal));
      return layers;
    },
  };
  return step;
}
