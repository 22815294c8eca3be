import { optionsOf, type ResolvedExperiment, roundingOf } from '../../../config/index.ts';
import { LINEARS } from '../../../protocol/block.ts';
import { recordOf } from '../../../protocol/records.ts';
import { loadMethod, type RoundingMethod } from '../../methods/index.ts';
import type { Checkpoint } from '../../model/checkpoint.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import type { RoundedSource } from '../../network/rounded-weights.ts';
import type { SeamState } from '../../network/seams.ts';
import { RoundedLayers, type RoundedLayersOptions, type WeightSizes } from '../../rounding/rounded-layers.ts';
import type { Clips } from '../clips/found.ts';
import { roundingNetworks, roundingSpec } from '../networks.ts';
import { phase } from '../phases.ts';
import { roundingCost } from '../rounding-cost.ts';
import type { Step, StepContext } from '../step.ts';
import { quantizedBench } from './clips.ts';
import type { Grids } from './grids.ts';
import { oldRoundingKey } from './old-rounding-key.ts';
import { type Blocks, firstBlocks, knownText } from './texts.ts';
import type { Trained } from './training.ts';

/** Weights that were rounded before a network reads them; null where networks round by themselves. */
export type Weights = Step<RoundedSource | null>;

/** A method that rounds beforehand, with its options. */
interface Rounding {
  readonly name: string;
  readonly version: number;
  readonly round: NonNullable<RoundingMethod['round']>;
  readonly options: unknown;
}

async function roundingBefore({ quantization }: ResolvedExperiment): Promise<Rounding | null> {
  const descriptor = roundingOf(quantization);
  const method = descriptor && (await loadMethod(descriptor.name, 'rounding'));
  if (!descriptor || !method?.round) return null;
  const { name } = descriptor;
  const { round, version } = method;
  return { name, version, round, options: optionsOf(quantization.weights, name) };
}

/**
 * @param trained the weights that are rounded; null for those of the checkpoint.
 * @param grids what the method learned before; null where it learns nothing. @param clips see {@link Clips}.
 */
export async function weightsStep(
  experiment: ResolvedExperiment,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
  { trained, grids, clips }: Omit<RoundedFrom, 'maps' | 'blocks'>,
): Promise<Weights | null> {
  const rounding = await roundingBefore(experiment);
  if (!rounding) return null;
  const blocks = firstBlocks(calibration, rounding.round.samples(rounding.options));
  return weightsOn(rounding, experiment, { maps, blocks, trained, grids, clips });
}

/**
 * Weights that were rounded before, looked for by the digest of their text, which is not read. The step's result is null
 * where there are none. Neither the maps nor the weights may rest on a text otherwise.
 * @returns null where no method rounds beforehand.
 */
export async function keptWeightsStep(
  experiment: ResolvedExperiment,
  maps: Step<SeamState>,
  { text, clips }: { readonly text: string; readonly clips: Clips | null },
): Promise<Weights | null> {
  const rounding = await roundingBefore(experiment);
  if (!rounding) return null;
  const blocks = knownText(text);
  const step = weightsOn(rounding, experiment, { maps, blocks, trained: null, grids: null, clips });
  return {
    ...step,
    // biome-ignore lint/correctness/useYield: nothing is rounded.
    async *run() {
      return null;
    },
  };
}

interface RoundedFrom {
  readonly maps: Step<SeamState>;
  readonly blocks: Step<Blocks>;
  readonly trained: Step<Trained> | null;
  readonly grids: Grids | null;
  /** Null where ratios are not searched. */
  readonly clips: Clips | null;
}

function weightsOn(
  { name, version, round, options }: Rounding,
  experiment: ResolvedExperiment,
  { maps, blocks, trained, grids, clips: searched }: RoundedFrom,
): Weights {
  const dense = round.dense ?? false;
  const readsQuantizers = round.readsQuantizers?.(options) ?? false;
  // What a method does not see has no part in its results.
  const clips = readsQuantizers ? searched : null;
  /** What the files of rounded layers are judged by. */
  const judged = async (context: StepContext): Promise<RoundedLayersOptions> => ({
    oldKey: await oldRoundingKey(context.bench, experiment, context.of(maps), context.of(blocks)),
    sizes: sizesOf(context.bench.checkpoint),
    dense,
  });
  const step: Weights = {
    kind: 'round',
    name,
    version,
    inputs: [blocks, maps, trained, grids, clips].filter((input) => input !== null),
    spec: () => roundingSpec(experiment, options, readsQuantizers),
    cost: (context) =>
      roundingCost(context, experiment, context.of(blocks), (task) => round.cost({ ...task, options })),
    digest: (weights) => (weights instanceof RoundedLayers ? weights.key : ''),
    async find(context, key) {
      const { bench, places } = context;
      for (const folder of places.others('rounded', key)) {
        const kept = new RoundedLayers(folder, key, await judged(context));
        if (kept.isComplete(bench.checkpoint.config.layers)) return kept;
      }
      return null;
    },
    async *run(context) {
      const layers = await newLayers(context, await context.keyOf(step), blocks, await judged(context));
      const bench = quantizedBench(context, { trained, clips });
      const work = {
        cache: context.bench.cache,
        ...roundingNetworks(bench, context.of(maps), dense),
        blocks: context.of(blocks),
        options,
        layers,
        grids: grids && context.of(grids),
      };
      yield* phase('round', context.seconds, () => round.run(work, context.signal));
      return layers;
    },
  };
  return step;
}

/** Where a step with this key puts the layers that it rounds, one after the other. */
async function newLayers(
  context: StepContext,
  key: string,
  blocks: Step<Blocks>,
  options: RoundedLayersOptions,
): Promise<RoundedLayers> {
  const { bench, places } = context;
  return new RoundedLayers(await places.makeShared('rounded', key), key, {
    ...options,
    text: blocks.digest(context.of(blocks)),
    check: () => {
      places.check();
      assertUnchanged(bench.checkpoint.files);
    },
  });
}

/** Every layer has weights of the same sizes. */
function sizesOf(checkpoint: Checkpoint): WeightSizes {
  const layer = checkpoint.layer(0);
  return recordOf(LINEARS, (linear) => {
    const [rows = 0, columns = 0] = layer[linear].dims;
    return [rows, columns] as const;
  });
}
