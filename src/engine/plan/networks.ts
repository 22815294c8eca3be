import {
  exceptionsSpec,
  learningWeightBits,
  learningWeightClip,
  type ResolvedExperiment,
  scaledSeams,
  siteQuantizer,
  weightExceptionsSpec,
} from '../../config/index.ts';
import { LINEARS, ROUNDED_SITES, type RoundedSite, type SeamName } from '../../protocol/block.ts';
import { partialOf } from '../../protocol/records.ts';
import type { Observed } from '../calibration/statistics/activations.ts';
import { ofObserved, type Precision } from '../graph/lower/tiles.ts';
import type { GridNetworks } from '../methods/index.ts';
import type { NetworkMode } from '../network/layer-programs.ts';
import { FULL_PRECISION } from '../network/layer-shape.ts';
import { Network } from '../network/network.ts';
import type { NetworkOptions } from '../network/network-options.ts';
import { changedQuantizers, type NetworkQuantizers, weightsAlone } from '../network/network-quantizers.ts';
import { type Products, packs, productsOf } from '../network/packed-weights.ts';
import { quantizersOf, withScaleGradient } from '../network/quantizers.ts';
import type { RoundedSource } from '../network/rounded-weights.ts';
import { isFixed, NO_MAPS, type SeamMaps, type SeamState, seamsIn } from '../network/seams.ts';
import { withClips } from '../network/site-clips.ts';
import { preparedWeightBytes } from '../network/weight-bytes.ts';
import { weightFormOf } from '../network/weight-form.ts';
import { rotationMaps } from './experiment-maps.ts';
import { learningMode, type NetworkPurpose, networkMemory } from './memory.ts';
import type { Workbench } from './workbench.ts';

/** The checkpoint's own network. @param precision of its products; where absent, float32. */
export function plainNetwork(bench: Workbench, precision?: Precision): Network {
  return networkOf(bench, 'plain', { quantizers: FULL_PRECISION, maps: NO_MAPS, precision });
}

/** The precision of products that an evaluation is asked for. */
export function evaluationPrecision({ evaluation }: ResolvedExperiment): Precision {
  return evaluation.precision === 'bfloat16' ? 'bfloat16-all' : evaluation.precision;
}

/** The checkpoint's own network, as activations are captured from it for learning. */
export function capturedNetwork(bench: Workbench): Network {
  const precision = ofObserved(bench.experiment.rotation.learning.precision);
  // The numbers of maps are learned; what stands fixed behind them is in what their quantizers see.
  const { 'across-heads': across } = rotationMaps(bench.experiment, bench.checkpoint.config);
  const maps = across ? { 'across-heads': across } : NO_MAPS;
  return networkOf(bench, 'plain', { quantizers: FULL_PRECISION, maps, precision });
}

/**
 * Mapped and quantized, as it would be deployed.
 * @param rounded weights rounded beforehand; null: to nearest.
 * @param integer true where it multiplies in whole numbers, as far as it can, and false where in float32; where absent,
 * whichever is faster.
 * @param precision of its other products; where absent, float32.
 */
export function deployedNetwork(
  bench: Workbench,
  state: SeamState,
  rounded: RoundedSource | null,
  integer?: boolean,
  precision?: Precision,
): Network {
  const products = integer === undefined ? 'if-faster' : integer ? 'always' : 'never';
  const form = { maps: ownMaps(bench), integer: products, precision } as const;
  // A weight that was rounded to another code would be another network.
  const own = { ...ownQuantizers(bench), ...form, weightPrecision: 'float32' } as const;
  return mapped(state, networkOf(bench, 'merged', { ...own, ...(rounded && { rounded }) }));
}

/** The products of the deployed network that can be of whole numbers, and the others. */
export function deployedProducts(bench: Workbench): Products {
  const isDense = bench.rounding?.round?.dense ?? false;
  return productsOf(ownQuantizers(bench), bench.checkpoint.config, isDense);
}

/**
 * What rounding methods look at: mapped, with the deployed network's weights, and all else at full precision or, where
 * they ask for it, quantized; and everything at full precision.
 * @param denseWeights true where the method rounds to numbers that no grid holds.
 */
export function roundingNetworks(bench: Workbench, state: SeamState, denseWeights: boolean) {
  const own = ownQuantizers(bench);
  const quantizers = changedQuantizers(own, (each) => ({ ...FULL_PRECISION, ...weightsAlone(each) }));
  const maps = weightMaps(ownMaps(bench));
  // What rounding looks at is estimated from a sample: two pieces are off by far less than its noise.
  const round = (options: Omit<NetworkOptions, 'mode' | 'centreEmbedding' | 'memory'>): Network =>
    mapped(state, networkOf(bench, 'merged', { ...options, precision: 'bfloat16x2' }, 'round'));
  return {
    network: round({ ...quantizers, maps, denseWeights }),
    deployed: () => round({ ...own, maps: ownMaps(bench), denseWeights }),
    exact: () => round({ quantizers: FULL_PRECISION, maps }),
  };
}

/** Mapped at full precision, as far as the maps have numbers: must compute the same function as the plain network. */
export function mappedNetwork(bench: Workbench, state: SeamState): Network {
  const maps = withNumbers(ownMaps(bench), state);
  return mapped(state, networkOf(bench, 'merged', { quantizers: FULL_PRECISION, maps }));
}

/** The deployed network with weights as numbers, and the same at full precision: what attribution goes between. */
export function gatedNetworks(bench: Workbench, state: SeamState, rounded: RoundedSource | null) {
  const maps = ownMaps(bench);
  const own = { ...ownQuantizers(bench), maps, denseWeights: true, ...(rounded && { rounded }) };
  return {
    exact: mapped(state, networkOf(bench, 'merged', { quantizers: FULL_PRECISION, maps })),
    quantized: mapped(state, networkOf(bench, 'merged', own)),
  };
}

/** What clip ratios are searched on: the maps of the deployed network that have numbers, at full precision. */
export function clipNetwork(bench: Workbench, state: SeamState): Network {
  const maps = withNumbers(ownMaps(bench), state);
  const options = { quantizers: FULL_PRECISION, maps, precision: 'bfloat16x2' } as const;
  return mapped(state, networkOf(bench, 'merged', options));
}

/** The checkpoint's own network in the merged form, in which networks are written down. */
export function unmappedNetwork(bench: Workbench): Network {
  return mapped({}, networkOf(bench, 'merged', { quantizers: FULL_PRECISION, maps: NO_MAPS }));
}

/** The network that rotations are learned on; 16-bit weights take the cheaper unrotated form. */
export function learningNetwork(bench: Workbench): Network {
  const { experiment, checkpoint } = bench;
  const { precision } = experiment.rotation.learning;
  const quantizers = learningQuantizersOf(experiment, ownQuantizers(bench));
  const maps = rotationMaps(experiment, checkpoint.config);
  const options = { ...quantizers, maps, precision, integer: 'if-faster', learns: true } as const;
  return networkOf(bench, learningMode(experiment), options, 'learn');
}

/** The final quantizers with the weights as they are inside the learning loop. */
export function learningQuantizersOf(
  experiment: ResolvedExperiment,
  final: NetworkQuantizers,
): NetworkQuantizers {
  const bits = learningWeightBits(experiment);
  const clipSearch = learningWeightClip(experiment);
  const live = experiment.rotation.learning.scaleGradient;
  return changedQuantizers(final, ({ otherWeights = {}, ...own }) => {
    // Exceptions stand beside weights that are rounded, and go where these are not.
    const others = partialOf(
      LINEARS,
      (linear) => otherWeights[linear] && { ...otherWeights[linear], clipSearch },
    );
    const quantizers = {
      ...own,
      weights: { ...own.weights, bits, clipSearch },
      ...(bits < 16 && Object.keys(others).length > 0 && { otherWeights: others }),
    };
    return live ? withScaleGradient(quantizers) : quantizers;
  });
}

/** The plain network, with the maps and quantizers whose effect is measured on it. */
export function observed(bench: Workbench, state: SeamState): Observed {
  return { network: plainNetwork(bench), maps: ownMaps(bench), state, ...ownQuantizers(bench) };
}

/** Sites of a layer whose clip ratio is left to be searched. */
export function searchedSites(
  { experiment: { quantization, rotation } }: Workbench,
  layer: number,
): RoundedSite[] {
  return ROUNDED_SITES.filter((site) => siteQuantizer(site, quantization, rotation, layer)?.isSearched);
}

/** The plain network, with the maps so far: what scaling methods look at. */
export function scalingNetwork(bench: Workbench, state: SeamState) {
  const clipped = (layer: number): readonly RoundedSite[] => searchedSites(bench, layer);
  const maps = rotationMaps(bench.experiment, bench.checkpoint.config);
  const merged = () => ({
    exact: mapped(state, networkOf(bench, 'merged', { quantizers: FULL_PRECISION, maps })),
    quantized: deployedNetwork(bench, state, null),
  });
  const network = networkOf(bench, 'plain', { quantizers: FULL_PRECISION, maps: NO_MAPS }, 'scale');
  const quantizer = ownQuantizers(bench).quantizers.weights;
  const learning = () => scaleLearningNetwork(bench);
  const added = scalingMaps(bench);
  const networks = { network, merged, learning };
  return { cache: bench.cache, ...networks, maps: weightMaps(maps), state, added, quantizer, clipped };
}

/** The network that scales are learned through: with 16-bit weights, and derivatives by scales alone. */
function scaleLearningNetwork(bench: Workbench): Network {
  const { experiment, checkpoint } = bench;
  const quantizers = changedQuantizers(ownQuantizers(bench), ({ otherWeights: _, ...own }) =>
    withScaleGradient({ ...own, weights: FULL_PRECISION.weights }),
  );
  const scales = scalingMaps(bench);
  const options = {
    ...quantizers,
    maps: { ...rotationMaps(experiment, checkpoint.config), ...scales },
    moving: seamsIn(scales),
    learns: true,
    precision: 'bfloat16',
  } as const;
  return networkOf(bench, 'unrotated', options, 'learn');
}

/** The maps of the scaling method, as far as its options ask for them. */
function scalingMaps({ experiment, scaling }: Workbench): SeamMaps {
  if (!scaling) return NO_MAPS;
  const asked = scaledSeams(experiment);
  return partialOf(seamsIn(scaling.maps), (seam) => (asked.includes(seam) ? scaling.maps[seam] : null));
}

/** Settings that decide the scales of a method that looks at what quantizers do, beside the maps' numbers and the text. */
export function quantizersSpec({ quantization, rotation }: ResolvedExperiment): unknown {
  const { activations, keys, values } = quantization;
  const { bits, groupSize, symmetric, clip } = quantization.weights;
  const { r3, r4, r4Blocks, acrossHeads, embeddingCentring: centring } = rotation;
  const weights = { bits, groupSize, symmetric, clip };
  return {
    weights,
    activations,
    keys,
    values,
    ...exceptionsSpec(quantization),
    r3,
    r4,
    r4Blocks,
    acrossHeads,
    centring,
  };
}

/** What grids are learned on: the plain network, and the deployed one with the maps so far. */
export function gridNetworks(bench: Workbench, state: SeamState): GridNetworks {
  const place = gridPlace(bench);
  const own = { ...ownQuantizers(bench), maps: place.maps };
  const quantized = mapped(state, networkOf(bench, 'merged', own, 'round'));
  return { plain: plainNetwork(bench), quantized, place };
}

/** Settings that decide the weights that a method rounds, beside the maps' numbers and the text. */
export function roundingSpec(
  experiment: ResolvedExperiment,
  options: unknown,
  readsQuantizers: boolean,
): unknown {
  return {
    ...(readsQuantizers && { quantizers: quantizersSpec(experiment) }),
    grid: gridOf(experiment),
    options,
    r4: experiment.rotation.r4,
    r4Blocks: experiment.rotation.r4Blocks,
    acrossHeads: experiment.rotation.acrossHeads,
    centring: experiment.rotation.embeddingCentring,
  };
}

/** Settings that decide the grid of a weight. */
export function gridOf({ quantization }: ResolvedExperiment): unknown {
  const { bits, groupSize, symmetric, clip } = quantization.weights;
  return { bits, groupSize, symmetric, clip, ...weightExceptionsSpec(quantization) };
}

/** The quantizers of the deployed network. */
export function ownQuantizers({ experiment, checkpoint, clips }: Workbench): NetworkQuantizers {
  const own = quantizersOf(experiment.quantization, experiment.rotation, checkpoint.config);
  return clips ? withClips(own, clips) : own;
}

/** All maps of the deployed network: rotations, those of a scaling method, and those learned for the grids. */
export function ownMaps(bench: Workbench): SeamMaps {
  const place = gridPlace(bench);
  return { ...place.maps, ...bench.rounding?.learns?.maps(place) };
}

/** The network before a rounding method learns grids for it. */
function gridPlace(bench: Workbench) {
  const { experiment, checkpoint } = bench;
  const { config } = checkpoint;
  const maps = { ...rotationMaps(experiment, config), ...scalingMaps(bench) };
  return { config, quantizers: ownQuantizers(bench).quantizers, maps };
}

/** Fixed maps, and those of a state. */
function withNumbers(maps: SeamMaps, state: SeamState): SeamMaps {
  const standing = seamsIn(maps).filter((seam) => isFixedAt(maps, seam) || state[seam]);
  return Object.fromEntries(standing.map((seam) => [seam, maps[seam]]));
}

function isFixedAt(maps: SeamMaps, seam: SeamName): boolean {
  const map = maps[seam];
  return map !== undefined && isFixed(map);
}

/** Without a map of queries and keys behind RoPE: it cancels where keys stay as they are. */
function weightMaps(maps: SeamMaps): SeamMaps {
  const { 'query-key': map, ...others } = maps;
  return map?.kind === 'diagonal' ? maps : others;
}

function mapped(state: SeamState, network: Network): Network {
  network.setMaps(state);
  return network;
}

function networkOf(
  bench: Workbench,
  mode: NetworkMode,
  options: Omit<NetworkOptions, 'mode' | 'centreEmbedding' | 'memory'>,
  purpose: NetworkPurpose = 'run',
): Network {
  const { experiment, checkpoint, cache } = bench;
  const centreEmbedding = mode !== 'plain' && experiment.rotation.embeddingCentring;
  const { config } = checkpoint;
  const weightForm = weightFormOf({ mode, ...options }, cache.abilities);
  const packed = packs(weightForm)
    ? preparedWeightBytes(checkpoint, { config, ...options, weightForm })
    : undefined;
  const memory = networkMemory(experiment, config, mode, purpose, packed);
  return new Network(cache, checkpoint, { mode, ...options, centreEmbedding, memory });
}
