import {
  isThroughNetwork,
  learnsClips,
  type ResolvedExperiment,
  searchesClips,
} from '../../../config/index.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import { type LayerClips, readClipRatios, writeClipRatios } from '../../../runs/index.ts';
import { type ClipSearch, clippedSequences, searchClips } from '../../calibration/clips/search.ts';
import { clipSearchWork } from '../../calibration/clips/work.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import { quantizersAt } from '../../network/network-quantizers.ts';
import type { SeamState } from '../../network/seams.ts';
import { tokensOf } from '../../network/work.ts';
import { type Clips, clipsSpec, FOUND, keptClips, ratiosOf } from '../clips/found.ts';
import { learnedClipsStep } from '../clips/learned.ts';
import { networkBytes } from '../memory.ts';
import { clipNetwork, ownQuantizers, searchedSites } from '../networks.ts';
import { phase } from '../phases.ts';
import { digestOf, type Step, type StepContext } from '../step.ts';
import type { Workbench } from '../workbench.ts';
import { type Blocks, knownText, sizeOfText } from './texts.ts';
import { type Trained, trainedBench } from './training.ts';

const METHOD = 'clip-search';

/**
 * Searches the clip ratios of all sites whose settings leave them to that, and learns from there where they say so.
 * @param maps the last ones: those before show quantizers other numbers.
 * @returns null where no setting does.
 */
export function clipsStep(
  experiment: ResolvedExperiment,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
): Clips | null {
  if (!searchesClips(experiment.quantization)) return null;
  const start = searchStep(experiment, maps, calibration);
  return learnsClips(experiment.quantization)
    ? learnedClipsStep(experiment, { maps, calibration, start })
    : start;
}

/**
 * The same with the rotations that learning through the network starts from, so that it sees ranges that are cut as those
 * of the deployed network will be. Scales and grids have no numbers yet.
 * @returns null where no ratio is searched, and where learning sees no grid.
 */
export function startClipsStep(
  experiment: ResolvedExperiment,
  start: Step<SeamState>,
  calibration: Step<Blocks>,
): Clips | null {
  const { quantization, rotation } = experiment;
  if (!searchesClips(quantization) || !isThroughNetwork(rotation.learning.objective)) return null;
  return searchStep(experiment, start, calibration, 'startClips');
}

function searchStep(
  experiment: ResolvedExperiment,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
  file: 'clipRatios' | 'startClips' = 'clipRatios',
): Clips {
  const step: Clips = {
    kind: 'transform',
    name: METHOD,
    file,
    start: null,
    version: 1,
    inputs: [calibration, maps],
    spec: () => clipsSpec(experiment, true),
    digest: (layers) => digestOf(layers.map(ratiosOf)),
    keeping: FOUND,
    cost(context) {
      const { checkpoint } = context.bench;
      const { sequences, length } = sizeOfText(context.of(calibration));
      const text = { sequences: clippedSequences({ sequences, length }), length };
      return {
        work: clipSearchWork(checkpoint.config, text),
        bytes: networkBytes(experiment, checkpoint, { mode: 'merged', purpose: 'run' }, tokensOf(text)),
      };
    },
    find: (context, key) => keptClips(context, file, key),
    async *run(context) {
      const key = await context.keyOf(step);
      const search = () => searched(context, { maps, calibration, file }, key);
      const before = file === 'startClips' ? ', before learning' : '';
      return yield* phase(
        'prepare',
        context.seconds,
        search,
        `clip ratios of activations and cache${before}`,
      );
    },
  };
  return step;
}

/** Ratios that were found before, looked for by the digest of their text; the step's result is empty where there are none. */
export function keptClipsStep(
  experiment: ResolvedExperiment,
  maps: Step<SeamState>,
  text: string,
): Clips | null {
  if (!searchesClips(experiment.quantization)) return null;
  const calibration = knownText(text);
  const start = unsought(searchStep(experiment, maps, calibration));
  return learnsClips(experiment.quantization)
    ? unsought(learnedClipsStep(experiment, { maps, calibration, start }))
    : start;
}

function unsought(step: Clips): Clips {
  return {
    ...step,
    // biome-ignore lint/correctness/useYield: nothing is searched.
    async *run() {
      return [];
    },
  };
}

interface Searched {
  readonly maps: Step<SeamState>;
  readonly calibration: Step<Blocks>;
  readonly file: Clips['file'];
}

/** Goes on from the layers that a stopped search has kept, and keeps each as it is found. */
async function* searched(
  context: StepContext,
  { maps, calibration, file }: Searched,
  key: string,
): AsyncGenerator<RunEvent, readonly LayerClips[]> {
  const { bench, places, signal } = context;
  const own = places.own(file);
  const known = own === null ? [] : await readClipRatios(own, key);
  const found: LayerClips[] = [];
  const blocks = context.of(calibration);
  const text = calibration.digest(blocks);
  const { layers } = bench.checkpoint.config;
  for await (const clips of searchClips(searchOf(bench, context.of(maps), known), blocks, signal)) {
    found.push(clips);
    assertUnchanged(bench.checkpoint.files);
    places.check();
    if (own !== null && found.length > known.length) writeClipRatios(own, { key, text, layers: found });
    yield timed({
      type: 'rounding-progress',
      method: METHOD,
      layersDone: found.length,
      layers,
      done: found.length / layers,
    });
  }
  return found;
}

function searchOf(bench: Workbench, state: SeamState, known: readonly LayerClips[]): ClipSearch {
  const own = ownQuantizers(bench);
  return {
    cache: bench.cache,
    network: clipNetwork(bench, state),
    layers: Array.from({ length: bench.checkpoint.config.layers }, (_, layer) => ({
      quantizers: quantizersAt(own, layer),
      sites: searchedSites(bench, layer),
      known: known[layer] ?? null,
    })),
  };
}

/** The bench with the weights and the ratios of the deployed network. @param clips null for those of the settings. */
export function quantizedBench(
  context: StepContext,
  { trained, clips }: { readonly trained: Step<Trained> | null; readonly clips: Clips | null },
): Workbench {
  const bench = trainedBench(context, trained);
  return clips ? { ...bench, clips: context.of(clips).map(ratiosOf) } : bench;
}
