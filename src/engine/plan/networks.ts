import type { ResolvedExperiment } from '../../config/index.ts';
import type { ModelConfig } from '../model/config.ts';
import type { NetworkMode } from '../network/layer-programs.ts';
import { FULL_PRECISION, NO_ROTATION, type RotationSites } from '../network/layer-shape.ts';
import { Network, type NetworkOptions } from '../network/network.ts';
import type { RoundedSource } from '../network/rounded-weights.ts';
import { type HadamardPlan, planHadamard } from '../rotation/hadamard-plan.ts';
import { Rng } from '../rotation/random.ts';
import { drawRotations, type RandomRotationKind } from '../rotation/random-rotation.ts';
import type { RotationState } from '../transform/learning/learner.ts';
import { learningMode, type NetworkPurpose, networkMemory } from './memory.ts';
import { learningQuantizersOf, quantizersOf } from './quantizers.ts';
import type { Workbench } from './workbench.ts';

/** The rotations that an experiment switches on. R3 cancels in q·k, so without a key quantizer it is left out. */
export function rotationSites(experiment: ResolvedExperiment, config: ModelConfig): RotationSites {
  const { r1, r2, r3, r4 } = experiment.rotation;
  return {
    r1: r1 !== 'none',
    r2: r2 !== 'none',
    r3: r3 && experiment.quantization.keys.bits < 16 ? planHadamard(config.headDim) : null,
    r4: r4 ? planHadamard(config.intermediateSize) : null,
  };
}

/** How the fixed Hadamard transforms were made, for people; one sentence each. */
export function hadamardStatements(sites: RotationSites): string[] {
  const say = (name: string, plan: RotationSites['r3']) =>
    plan ? [`${name}: ${(plan as HadamardPlan).statement}`] : [];
  return [...say('R3', sites.r3), ...say('R4', sites.r4)];
}

/** Rotations by their kind: drawn from the seed, R1 first, then R2 of each layer; `learned` starts as `start` says. */
export function startingRotations(experiment: ResolvedExperiment, config: ModelConfig): RotationState {
  const { r1, r2, start, seed } = experiment.rotation;
  const kind = (wanted: typeof r1): RandomRotationKind | null =>
    wanted === 'none' ? null : wanted === 'learned' ? (start === 'random' ? 'random' : 'hadamard') : wanted;
  const { hiddenSize: hidden, headDim, layers } = config;
  return drawRotations({ hidden, headDim, layers }, { r1: kind(r1), r2: kind(r2) }, new Rng(seed));
}

/** The checkpoint's own network. */
export function plainNetwork(bench: Workbench): Network {
  return networkOf(bench, 'plain', { quantizers: FULL_PRECISION, sites: NO_ROTATION });
}

/** The checkpoint's own network, as activations are captured from it for learning. */
export function capturedNetwork(bench: Workbench): Network {
  const { precision } = bench.experiment.rotation.learning;
  return networkOf(bench, 'plain', { quantizers: FULL_PRECISION, sites: NO_ROTATION, precision });
}

/**
 * Rotated and quantized, as it would be deployed.
 * @param rounded weights rounded beforehand; null: to nearest.
 */
export function deployedNetwork(
  bench: Workbench,
  rotations: RotationState,
  rounded: RoundedSource | null,
): Network {
  const { experiment, checkpoint } = bench;
  const quantizers = quantizersOf(experiment, checkpoint.config);
  const sites = rotationSites(experiment, checkpoint.config);
  const options = { quantizers, sites, ...(rounded && { rounded }) };
  return rotatedTo(rotations, networkOf(bench, 'merged', options));
}

/** Rotated, with the deployed network's weights and all else at full precision: what GPTQ looks at. */
export function roundingNetwork(bench: Workbench, rotations: RotationState): Network {
  const { experiment, checkpoint } = bench;
  const { weights } = quantizersOf(experiment, checkpoint.config);
  // R3 cancels where keys stay as they are.
  const sites = { ...rotationSites(experiment, checkpoint.config), r3: null };
  const quantizers = { ...FULL_PRECISION, weights };
  return rotatedTo(rotations, networkOf(bench, 'merged', { quantizers, sites }, 'round'));
}

/** Rotated at full precision: must compute the same function as the plain network. */
export function rotatedNetwork(bench: Workbench, rotations: RotationState): Network {
  const { experiment, checkpoint } = bench;
  // R3 is measured here too, although it would be left out at 16-bit keys.
  const sites = rotationSites(experiment, checkpoint.config);
  return rotatedTo(rotations, networkOf(bench, 'merged', { quantizers: FULL_PRECISION, sites }));
}

/** The network that rotations are learned on; 16-bit weights take the cheaper unrotated form. */
export function learningNetwork(bench: Workbench): Network {
  const { experiment, checkpoint } = bench;
  const { precision } = experiment.rotation.learning;
  const quantizers = learningQuantizersOf(experiment, checkpoint.config);
  const sites = rotationSites(experiment, checkpoint.config);
  return networkOf(bench, learningMode(experiment), { quantizers, sites, precision }, 'learn');
}

function rotatedTo(rotations: RotationState, network: Network): Network {
  network.setRotations(rotations);
  return network;
}

function networkOf(
  bench: Workbench,
  mode: NetworkMode,
  options: Pick<NetworkOptions, 'quantizers' | 'sites' | 'precision' | 'rounded'>,
  purpose: NetworkPurpose = 'run',
): Network {
  const { experiment, checkpoint, cache } = bench;
  const centreEmbedding = mode !== 'plain' && experiment.rotation.embeddingCentring;
  const memory = networkMemory(experiment, checkpoint.config, mode, purpose);
  return new Network(cache, checkpoint, { mode, ...options, centreEmbedding, memory });
}
