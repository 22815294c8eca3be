import { z } from 'zod';
import {
  isThroughNetwork,
  optionsOf,
  type Quantization,
  type ResolvedExperiment,
  type Rotation,
  scalingOf,
  siteQuantizer,
} from '../../../config/index.ts';
import type { LossSummary } from '../../../runs/index.ts';
import { COMPARED_TOKENS } from '../../evaluate/preservation.ts';
import { preservationWork } from '../../evaluate/work.ts';
import type { ScalingMethod } from '../../methods/index.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import { LearnedLayers, type LearnedSizes } from '../../network/learned-grids.ts';
import { quantizersOf } from '../../network/quantizers.ts';
import type { SeamState } from '../../network/seams.ts';
import { addWork, prepareWeights, tokensOf } from '../../network/work.ts';
import { KeptTraining } from '../../training/kept-training.ts';
import { digestOfMaps } from '../digests.ts';
import { givenMaps, startingMaps, symmetricSeams } from '../experiment-maps.ts';
import { MAPS, mapsKeeping, NOTHING } from '../keepings.ts';
import { keptLearning, learnMaps } from '../learned-maps.ts';
import { learningCost } from '../learning-cost.ts';
import { networkBytes } from '../memory.ts';
import { gridOf, quantizersSpec, scalingNetwork } from '../networks.ts';
import { phase } from '../phases.ts';
import { checkPreserved } from '../preserved.ts';
import { derivedStep, type Step, type StepContext } from '../step.ts';
import { quantizedBench, startClipsStep } from './clips.ts';
import { type Blocks, firstBlocks, sizeOfText } from './texts.ts';

/** Maps that were learned, and how that went. */
export interface Learned {
  readonly state: SeamState;
  readonly loss: LossSummary;
  readonly steps: number;
}

const LEARNED = mapsKeeping<Learned>(
  z.object({ loss: z.object({ first: z.number(), last: z.number() }), steps: z.int() }),
  (state, rest) => ({ state, ...rest }),
);

/** R3 and R4 are not learned: a rotation learned without the quantized network serves with and without them. */
function withoutOnline({
  r3: _,
  r4: __,
  r4Blocks: ___,
  ...rotation
}: Rotation): Omit<Rotation, 'r3' | 'r4' | 'r4Blocks'> {
  return rotation;
}

const DRAWN = { kind: 'transform', version: 1, inputs: [], digest: digestOfMaps } as const;

/** Maps as they are drawn from the seed: where learning starts. */
export function startStep(experiment: ResolvedExperiment): Step<SeamState> {
  const { r1, r2, r2Per, start, seed } = experiment.rotation;
  return {
    ...DRAWN,
    name: 'start',
    spec: () => ({ r1, r2, r2Per, start, seed }),
    // biome-ignore lint/correctness/useYield: drawing takes no time that is worth an event.
    async *run({ bench }) {
      return startingMaps(experiment, bench.checkpoint.config);
    },
  };
}

/** Maps from a file where they are learned, drawn from the seed elsewhere. @param path null where none are named. */
export function givenStep(experiment: ResolvedExperiment, path: string | null): Step<SeamState> {
  const { r1, r2, r2Per, start, seed } = experiment.rotation;
  return {
    ...DRAWN,
    name: 'given',
    spec: () => ({ path, r1, r2, r2Per, start, seed }),
    // biome-ignore lint/correctness/useYield: reading takes no time that is worth an event.
    async *run({ bench }) {
      return givenMaps(experiment, bench.checkpoint.config, path);
    },
  };
}

/** Maps that are learned on the calibration text, from the start given. */
export function learnStep(
  experiment: ResolvedExperiment,
  start: Step<SeamState>,
  calibration: Step<Blocks>,
): Step<Learned> {
  const { calibration: text, quantization, rotation } = experiment;
  const preserved = preservedStep(experiment, 'starting rotations', start, calibration);
  const clips = startClipsStep(experiment, start, calibration);
  const step: Step<Learned> = {
    kind: 'transform',
    name: 'learn',
    version: 1,
    inputs: [calibration, start, preserved, ...(clips ? [clips] : [])],
    // Captured activations are those of the full-precision network, judged as the grids that read them.
    spec: () =>
      isThroughNetwork(rotation.learning.objective)
        ? { rotation, quantization, seed: text.seed }
        : { ...withoutOnline(rotation), seed: text.seed, ...judgedBy(quantization, rotation) },
    digest: ({ state }) => digestOfMaps(state),
    keeping: LEARNED,
    cost: (context) => learningCost(context.bench, sizeOfText(context.of(calibration))),
    find: keptLearning,
    async *run(context) {
      const [from, blocks] = [context.of(start), context.of(calibration)];
      const bench = quantizedBench(context, { trained: null, clips });
      return yield* learnMaps({ context, bench }, from, blocks, await context.keyOf(step));
    },
  };
  return step;
}

/** Learning on captured activations reads of the quantizers all that rounds with procrustes, else the grids alone. */
function judgedBy(quantization: Quantization, rotation: Rotation): object {
  if (rotation.learning.objective !== 'procrustes') return gridsOf(quantization);
  const sites = ['attention-input', 'value', 'o-input'] as const;
  return { rounds: sites.map((site) => siteQuantizer(site, quantization, rotation, null)) };
}

/** Groups that share a scale, and symmetric grids, where there are some. */
function gridsOf(quantization: Quantization): object {
  const { bits, groupSize } = quantization.activations;
  const symmetric = symmetricSeams(quantization);
  return {
    ...(bits < 16 && groupSize !== null && { groupSize }),
    ...(symmetric.length > 0 && { symmetric }),
  };
}

/** Measures that maps leave the full-precision function alone. */
export function preservedStep(
  experiment: ResolvedExperiment,
  where: string,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
): Step<null> {
  const { quantization, rotation } = experiment;
  const { r3, r4, r4Blocks, acrossHeads, embeddingCentring } = rotation;
  return {
    kind: 'measure',
    name: 'preserved',
    version: 1,
    inputs: [calibration, maps],
    spec: () => ({ r3, r4, r4Blocks, acrossHeads, embeddingCentring, keys: quantization.keys.bits }),
    digest: () => '',
    keeping: NOTHING,
    cost: ({ bench: { checkpoint } }) => ({
      work: addWork(
        preservationWork(checkpoint.config),
        prepareWeights(checkpoint.config, { mapped: true, searched: false }),
      ),
      bytes: networkBytes(experiment, checkpoint, { mode: 'merged', purpose: 'run' }, COMPARED_TOKENS),
    }),
    async *run(context) {
      yield* checkPreserved(context, context.of(maps), context.of(calibration), where);
      return null;
    },
  };
}

/** The maps of a step that learned them. */
export function learnedMaps(learned: Step<Learned>): Step<SeamState> {
  return derivedStep('transform', 'maps', learned, ({ state }) => state, digestOfMaps);
}

/** The maps with those that a scaling method adds. */
export function scaleStep(
  experiment: ResolvedExperiment,
  method: ScalingMethod,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
): Step<SeamState> {
  const name = scalingOf(experiment)?.name ?? '';
  const options = optionsOf(experiment.scaling, name);
  const blocks = firstBlocks(calibration, method.samples(options));
  const step: Step<SeamState> = {
    kind: 'transform',
    name,
    version: method.version,
    inputs: [blocks, maps],
    spec: () => {
      if (method.readsQuantizers?.(options)) return { options, quantizers: quantizersSpec(experiment) };
      return method.readsGrid ? { options, grid: gridOf(experiment) } : options;
    },
    digest: digestOfMaps,
    keeping: MAPS,
    cost(context) {
      const { config } = context.bench.checkpoint;
      const text = sizeOfText(context.of(blocks));
      const { quantizers } = quantizersOf(experiment.quantization, experiment.rotation, config);
      const { work, bytes } = method.cost({ config, text, quantizers, options });
      const network = { mode: 'plain', purpose: 'scale' } as const;
      return {
        work,
        bytes: bytes + networkBytes(experiment, context.bench.checkpoint, network, tokensOf(text)),
      };
    },
    async *run(context) {
      const { bench, places, seconds, signal } = context;
      const work = {
        ...scalingNetwork(bench, context.of(maps)),
        blocks: context.of(blocks),
        options,
        scratch: () => places.make('rounded'),
        kept: (sizes: LearnedSizes) => keptLayers(context, step, sizes),
        training: () => keptTraining(context, step),
      };
      const added = yield* phase('prepare', seconds, () => method.scale(work, signal), name);
      const state = { ...context.of(maps), ...added };
      yield* checkPreserved(context, state, context.of(blocks), 'channel scales');
      return state;
    },
  };
  return step;
}

/** The folder of layers that a method learns, kept by the key of its step. */
async function keptLayers(
  context: StepContext,
  step: Step<SeamState>,
  sizes: LearnedSizes,
): Promise<LearnedLayers> {
  const { folder, key, check } = await keptPlace(context, step);
  return new LearnedLayers(folder, key, sizes, check);
}

/** The same of a method that learns through the network. */
async function keptTraining(context: StepContext, step: Step<SeamState>): Promise<KeptTraining> {
  const { folder, key, check } = await keptPlace(context, step);
  return new KeptTraining(folder, key, check);
}

async function keptPlace(context: StepContext, step: Step<SeamState>) {
  const { bench, places } = context;
  const key = await context.keyOf(step);
  const check = () => {
    places.check();
    assertUnchanged(bench.checkpoint.files);
  };
  return { folder: await places.makeShared('grids', key), key, check };
}
