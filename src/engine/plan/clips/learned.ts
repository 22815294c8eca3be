import type { ResolvedExperiment } from '../../../config/index.ts';
import { siteQuantizer } from '../../../config/index.ts';
import { ROUNDED_SITES } from '../../../protocol/block.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import { partialOf } from '../../../protocol/records.ts';
import { type ClipState, type LayerClips, readClipState, writeClipRatios } from '../../../runs/index.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import { quantizersAt } from '../../network/network-quantizers.ts';
import type { SeamState } from '../../network/seams.ts';
import type { SiteClips } from '../../network/site-clips.ts';
import { tokensOf } from '../../network/work.ts';
import {
  CLIP_LEARNING,
  type ClipTask,
  clipsOf,
  firstState,
  type LearningState,
  learnClips,
  sequencesOfStep,
} from '../../training/clips/learn.ts';
import { clipLearningWork } from '../../training/clips/work.ts';
import { networkBytes } from '../memory.ts';
import { clipNetwork, ownQuantizers } from '../networks.ts';
import { phase } from '../phases.ts';
import { digestOf, type Step, type StepContext } from '../step.ts';
import { type Blocks, sizeOfText } from '../steps/texts.ts';
import type { Workbench } from '../workbench.ts';
import { type Clips, clipsSpec, FOUND, keptClips, ratiosOf } from './found.ts';

const LEARNING = 'clip-learning';

interface From {
  readonly maps: Step<SeamState>;
  readonly calibration: Step<Blocks>;
  /** The search whose ratios are the first ones. */
  readonly start: Clips;
}

/** Goes on from the ratios of a search, with factors of both ends. */
export function learnedClipsStep(experiment: ResolvedExperiment, from: From): Clips {
  const { maps, calibration, start } = from;
  const step: Clips = {
    kind: 'transform',
    name: LEARNING,
    file: 'learnedClips',
    start,
    version: 1,
    inputs: [calibration, maps, start],
    spec: () => ({
      ...CLIP_LEARNING,
      settings: clipsSpec(experiment, false),
      seed: experiment.calibration.seed,
    }),
    digest: (layers) => digestOf(layers.map(ratiosOf)),
    keeping: FOUND,
    cost(context) {
      const { checkpoint } = context.bench;
      const text = sizeOfText(context.of(calibration));
      const tokens = tokensOf({ sequences: sequencesOfStep(text), length: text.length });
      return {
        work: clipLearningWork(checkpoint.config, text),
        bytes: networkBytes(experiment, checkpoint, { mode: 'merged', purpose: 'learn' }, tokens),
      };
    },
    find: (context, key) => keptClips(context, 'learnedClips', key),
    async *run(context) {
      const key = await context.keyOf(step);
      const learn = () => learned(context, from, key);
      return yield* phase('prepare', context.seconds, learn, 'clip ratios of both ends, learned');
    },
  };
  return step;
}

/** Goes on from the step that stopped learning has kept, and keeps where it stands behind each. */
async function* learned(
  context: StepContext,
  { maps, calibration, start }: From,
  key: string,
): AsyncGenerator<RunEvent, readonly LayerClips[]> {
  const { bench, places, signal } = context;
  const own = places.own('learnedClips');
  const blocks = context.of(calibration);
  const text = calibration.digest(blocks);
  const task = learningTask(bench, { state: context.of(maps), found: context.of(start), blocks });
  const known = own === null ? null : await readClipState(own, key);
  let state: LearningState = known ?? firstState(task);
  const { steps } = CLIP_LEARNING;
  const { layers } = bench.checkpoint.config;
  for await (const { state: next, divergence } of learnClips(task, state, signal)) {
    state = next;
    assertUnchanged(bench.checkpoint.files);
    places.check();
    if (own !== null) writeClipRatios(own, { key, text, layers: [], state: plainState(state) });
    const done = state.step / steps;
    const progress = { layersDone: Math.floor(done * layers), layers, done, loss: divergence };
    yield timed({ type: 'rounding-progress', method: LEARNING, ...progress });
  }
  const before = context.of(start);
  const found = clipsOf(state, task).map((clips, layer) => ({ ...before[layer], ...foundClips(clips) }));
  if (own !== null) writeClipRatios(own, { key, text, layers: found });
  return found;
}

function learningTask(
  bench: Workbench,
  given: {
    readonly state: SeamState;
    readonly found: readonly LayerClips[];
    readonly blocks: Blocks;
  },
): ClipTask {
  const { quantization, rotation, calibration } = bench.experiment;
  const own = ownQuantizers({ ...bench, clips: given.found.map(ratiosOf) });
  return {
    cache: bench.cache,
    network: clipNetwork(bench, given.state),
    layers: Array.from({ length: bench.checkpoint.config.layers }, (_, layer) => ({
      quantizers: quantizersAt(own, layer),
      sites: ROUNDED_SITES.filter((site) => siteQuantizer(site, quantization, rotation, layer)?.isLearned),
    })),
    blocks: given.blocks,
    seed: calibration.seed,
  };
}

const plainState = ({ step, layers }: LearningState): ClipState => ({
  step,
  layers: layers.map(({ factors, mean, square }) => ({
    factors: [...factors],
    mean: [...mean],
    square: [...square],
  })),
});

function foundClips(clips: SiteClips[number]): LayerClips {
  return partialOf(ROUNDED_SITES, (site) => {
    const clip = clips[site];
    if (clip === undefined) return null;
    return typeof clip === 'number' ? { ratio: clip } : { ratio: clip.upper, lower: clip.lower };
  });
}
