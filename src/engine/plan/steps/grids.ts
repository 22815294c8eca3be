import { exceptionsSpec, optionsOf, type ResolvedExperiment, roundingOf } from '../../../config/index.ts';
import type { RoundingMethod } from '../../methods/index.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import { gridsOf, type LearnedGrids, LearnedLayers } from '../../network/learned-grids.ts';
import type { SeamState } from '../../network/seams.ts';
import { digestOfMaps } from '../digests.ts';
import { gridNetworks } from '../networks.ts';
import { phase } from '../phases.ts';
import { checkPreserved } from '../preserved.ts';
import { roundingCost } from '../rounding-cost.ts';
import { derivedStep, digestOf, type Step, type StepContext } from '../step.ts';
import { type Blocks, firstBlocks } from './texts.ts';
import { type Trained, trainedBench } from './training.ts';

/** What a rounding method learns before it rounds: maps, and grids for the weights. */
export type Grids = Step<LearnedGrids>;

/**
 * @param trained the weights that grids are learned for; null for those of the checkpoint.
 * @returns null where the method learns nothing.
 */
export function gridsStep(
  experiment: ResolvedExperiment,
  method: RoundingMethod | null,
  maps: Step<SeamState>,
  { calibration, trained }: { readonly calibration: Step<Blocks>; readonly trained: Step<Trained> | null },
): Grids | null {
  const name = roundingOf(experiment.quantization)?.name;
  const { learns, round } = method ?? {};
  if (!method || !learns || !round || name === undefined) return null;
  const options = optionsOf(experiment.quantization.weights, name);
  const blocks = firstBlocks(calibration, round.samples(options));
  const layersIn = (folder: string, key: string, context: StepContext, check?: () => void) => {
    const { quantized, place } = gridNetworks(trainedBench(context, trained), context.of(maps));
    return new LearnedLayers(folder, key, learns.sizes({ quantized, place }), check);
  };
  const step: Grids = {
    kind: 'transform',
    name,
    version: method.version,
    inputs: [blocks, maps, ...(trained ? [trained] : [])],
    spec: () => gridsSpec(experiment, options),
    digest: digestOfGrids,
    cost: (context) =>
      roundingCost(context, experiment, context.of(blocks), (task) => learns.cost({ ...task, options })),
    find(context, key) {
      const { bench, places } = context;
      for (const folder of places.others('grids', key)) {
        const kept = layersIn(folder, key, context).readAll(bench.checkpoint.config.layers);
        if (kept) return gridsOf(kept);
      }
      return null;
    },
    async *run(context) {
      const { bench, places, seconds, signal } = context;
      const check = () => {
        places.check();
        assertUnchanged(bench.checkpoint.files);
      };
      const key = await context.keyOf(step);
      const layers = layersIn(await places.makeShared('grids', key), key, context, check);
      const networks = gridNetworks(trainedBench(context, trained), context.of(maps));
      const work = { cache: bench.cache, ...networks, blocks: context.of(blocks), layers, options };
      const learned = yield* phase('round', seconds, () => learns.learn(work, signal));
      const state = { ...context.of(maps), ...learned.state };
      yield* checkPreserved(context, state, context.of(blocks), 'learned channel scales');
      return learned;
    },
  };
  return step;
}

/** The maps so far with those that were learned for the grids. */
export function mapsWith(grids: Grids, maps: Step<SeamState>): Step<SeamState> {
  return {
    ...derivedStep('transform', 'scaled', grids, ({ state }) => state, digestOfMaps),
    inputs: [maps, grids],
    // biome-ignore lint/correctness/useYield: nothing happens that is worth an event.
    async *run(context) {
      return { ...context.of(maps), ...context.of(grids).state };
    },
  };
}

/** Settings that decide what is learned, beside the maps so far and the text: those of all quantizers. */
function gridsSpec({ quantization, rotation }: ResolvedExperiment, options: unknown): unknown {
  const { weights, activations, keys, values } = quantization;
  const { bits, groupSize, symmetric } = weights;
  const { r3, r4, r4Blocks, acrossHeads, embeddingCentring } = rotation;
  return {
    weights: { bits, groupSize, symmetric },
    quantizers: { activations, keys, values, ...exceptionsSpec(quantization) },
    rotation: { r3, r4, r4Blocks, acrossHeads, embeddingCentring },
    options,
  };
}

function digestOfGrids({ state, clips }: LearnedGrids): string {
  const factors = clips.flatMap((layer) =>
    Object.values(layer).flatMap(({ upper, lower }) => [upper, lower]),
  );
  return digestOf(digestOfMaps(state), factors);
}
