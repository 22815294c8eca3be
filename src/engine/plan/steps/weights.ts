import { optionsOf, type ResolvedExperiment, roundingOf } from '../../../config/index.ts';
import { LINEARS } from '../../../protocol/block.ts';
import { recordOf } from '../../../protocol/records.ts';
import { loadMethod, type RoundingMethod } from '../../methods/index.ts';
import type { Checkpoint } from '../../model/checkpoint.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import { quantizersOf } from '../../network/quantizers.ts';
import type { RoundedSource } from '../../network/rounded-weights.ts';
import type { SeamState } from '../../network/seams.ts';
import { tokensOf } from '../../network/work.ts';
import { RoundedLayers, type RoundedLayersOptions, type WeightSizes } from '../../rounding/rounded-layers.ts';
import type { Clips } from '../clips/found.ts';
import { networkBytes } from '../memory.ts';
import { roundingNetworks, roundingSpec } from '../networks.ts';
import { phase } from '../phases.ts';
import type { Step, StepContext } from '../step.ts';
import { quantizedBench } from './clips.ts';
import type { Grids } from './grids.ts';
import { oldRoundingKey } from './old-rounding-key.ts';
import { type Blocks, firstBlocks, knownText, sizeOfText } from './texts.ts';
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
    inputs: [
      blocks,
      maps,
      ...(trained ? [trained] : []),
      ...(grids ? [grids] : []),
      ...(clips ? [clips] : []),
    ],
    spec: () => roundingSpec(experiment, options, readsQuantizers),
    cost(context) {
      const { config } = context.bench.checkpoint;
      const text = sizeOfText(context.of(blocks));
      const { quantizers } = quantizersOf(experiment.quantization, experiment.rotation, config);
      const { work, bytes } = round.cost({ config, text, quantizers, options });
      const network = { mode: 'merged', purpose: 'round' } as const;
      return {
        work,
        bytes: bytes + networkBytes(experiment, context.bench.checkpoint, network, tokensOf(text)),
      };
    },
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
      const { bench, places, seconds, signal } = context;
      const key = await context.keyOf(step);
      const layers = new RoundedLayers(await places.makeShared('rounded', key), key, {
        ...(await judged(context)),
        text: blocks.digest(context.of(blocks)),
        check: () => {
          places.check();
          assertUnchanged(bench.checkpoint.files);
        },
      });
      const networks = roundingNetworks(quantizedBench(context, { trained, clips }), context.of(maps), dense);
      const work = {
        cache: bench.cache,
        ...networks,
        blocks: context.of(blocks),
        options,
        layers,
        grids: grids && context.of(grids),
      };
      yield* phase('round', seconds, () => round.run(work, signal));
      return layers;
    },
  };
  return step;
}

/** Every layer has weights of the same sizes. */
function sizesOf(checkpoint: Checkpoint): WeightSizes {
  const layer = checkpoint.layer(0);
  return recordOf(LINEARS, (linear) => {
    const [rows = 0, columns = 0] = layer[linear].dims;
    return [rows, columns] as const;
  });
}
