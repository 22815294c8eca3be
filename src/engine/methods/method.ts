import type { RoundedSite } from '../../protocol/block.ts';
import type { RunEvent } from '../../protocol/events.ts';
import type { WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import type { LearnedGrids, LearnedLayers, LearnedSizes } from '../network/learned-grids.ts';
import type { NetworkMemory } from '../network/memory-plan.ts';
import type { Network } from '../network/network.ts';
import type { SeamMaps, SeamState } from '../network/seams.ts';
import type { Cost, TextSize } from '../network/work.ts';
import type { RoundedLayers } from '../rounding/rounded-layers.ts';
import type { KeptTraining } from '../training/kept-training.ts';

interface MethodWork<Options> {
  readonly cache: ProgramCache;
  /** Calibration sequences, all of one length; as many as `samples` asks for, or all that there are. */
  readonly blocks: readonly Int32Array[];
  readonly options: Options;
}

/** What a method will be asked to work on, as far as it is known before anything runs. */
export interface MethodTask<Options> {
  readonly config: ModelConfig;
  /** As much of the calibration text as it looks at, or of the text that it wants. */
  readonly text: TextSize;
  /** Those of the deployed network. */
  readonly quantizers: LayerQuantizers;
  readonly options: Options;
}

export interface RoundingWork<Options> extends MethodWork<Options> {
  /** The merged network with all maps. Its weight quantizer gives bits and grids; activations stay as they are. */
  readonly network: Network;
  /** The same with activations, keys and values quantized as deployed. */
  readonly deployed: () => Network;
  /** The same at full precision, its weights too. */
  readonly exact: () => Network;
  /** Folder of the rounded layers, also of those that an interrupted call left. */
  readonly layers: RoundedLayers;
  /** What the method learned before; null for one that learns nothing. */
  readonly grids: LearnedGrids | null;
}

/** The network that grids are learned for. */
export interface GridPlace {
  readonly config: ModelConfig;
  readonly quantizers: LayerQuantizers;
  /** The maps so far: rotations, and those of a scaling method. */
  readonly maps: SeamMaps;
}

export interface GridNetworks {
  /** The checkpoint's own network, at full precision. */
  readonly plain: Network;
  /** Merged and quantized as deployed, with the maps so far. */
  readonly quantized: Network;
  readonly place: GridPlace;
}

export interface GridWork<Options> extends MethodWork<Options>, GridNetworks {
  /** Folder of the learned layers, also of those that an interrupted call left. */
  readonly layers: LearnedLayers;
}

/** What a method learns before it rounds: maps of the network, and the grids that its rounding then writes. */
export interface GridLearning<Options> {
  /** The maps that it adds: their kinds are known before anything runs. */
  maps(place: GridPlace): SeamMaps;
  /** How many numbers it learns for a layer. */
  sizes(networks: Pick<GridNetworks, 'quantized' | 'place'>): LearnedSizes;
  /** What learning asks of the machine, its own copies beside the memory of the networks. */
  cost(task: MethodTask<Options>): Cost;
  learn(work: GridWork<Options>, signal?: AbortSignal): AsyncGenerator<RunEvent, LearnedGrids>;
}

/** A method that puts weights on their grid. */
export interface RoundingMethod<Options = unknown> {
  readonly kind: 'rounding';
  /** Raised when weights come out otherwise than in the version before. */
  readonly version: number;
  /** Absent for methods that learn nothing before they round. */
  readonly learns?: GridLearning<Options>;
  /** Null where every weight is rounded alone, which networks do by themselves. */
  readonly round: {
    /** Calibration sequences that it looks at. */
    samples(options: Options): number;
    /** True where the weights depend on how activations, keys and values are quantized; absent: never. */
    readonly readsQuantizers?: (options: Options) => boolean;
    /** True where it rounds to numbers that no grid of rows or groups holds: its matrices are dense. */
    readonly dense?: boolean;
    /** What rounding asks of the machine, its own copies beside the memory of the network. */
    cost(task: MethodTask<Options>): Cost;
    run(work: RoundingWork<Options>, signal?: AbortSignal): AsyncGenerator<RunEvent, void>;
  } | null;
}

export interface ScalingWork<Options> extends MethodWork<Options> {
  /** The checkpoint's own network, at full precision. */
  readonly network: Network;
  /** The maps so far, with their numbers: rotations, where there are any. */
  readonly maps: SeamMaps;
  readonly state: SeamState;
  /** The maps that the method adds, as far as its options ask for them. */
  readonly added: SeamMaps;
  /** Networks with these maps merged: at full precision, and quantized as deployed with those that the method adds. */
  readonly merged: () => { readonly exact: Network; readonly quantized: Network };
  /** The experiment's quantizer of weights. */
  readonly quantizer: WeightQuantizer;
  /** Sites of a layer whose clip ratio the experiment leaves to be searched. */
  readonly clipped: (layer: number) => readonly RoundedSite[];
  /** Opens the folder of layers that are learned, also of those that an interrupted call left. */
  readonly kept: (sizes: LearnedSizes) => Promise<LearnedLayers>;
  /** What scales are learned through: see `training/scales/learn.ts`. */
  readonly learning: () => Network;
  /** Opens what is kept of learning through the network, also of one that was interrupted. */
  readonly training: () => Promise<KeptTraining>;
  /** Makes a folder for what does not fit into the network's memory. */
  readonly scratch: () => Promise<string>;
}

/** A method that moves the size of channels from activations into weights. */
export interface ScalingMethod<Options = unknown> {
  readonly kind: 'scaling';
  /** Raised when scales come out otherwise than in the version before. */
  readonly version: number;
  /** Calibration sequences that it looks at. */
  samples(options: Options): number;
  /** The maps that it adds: their kinds are known before anything runs. */
  readonly maps: SeamMaps;
  /** True where the scales depend on how weights and activations are quantized; absent: never. */
  readonly readsQuantizers?: (options: Options) => boolean;
  /** True where the scales depend on the quantizer of weights. */
  readonly readsGrid?: boolean;
  /** What finding the scales asks of the machine, its own copies beside the memory of the networks. */
  cost(task: MethodTask<Options>): Cost;
  /** The numbers of the maps that it adds. A generator tells its progress. */
  scale(
    work: ScalingWork<Options>,
    signal?: AbortSignal,
  ): Promise<SeamState> | AsyncGenerator<RunEvent, SeamState>;
}

export interface TrainingWork<Options> extends MethodWork<Options> {
  /** The checkpoint's own network, at full precision. */
  readonly teacher: Network;
  /** Those of the deployed network. */
  readonly quantizers: LayerQuantizers;
  /** For passes forward and backward, beside the weights themselves. */
  readonly memory: NetworkMemory;
  readonly seed: number;
  /** Where its state and the trained weights are kept, also those that an interrupted call left. */
  readonly kept: KeptTraining;
}

/** A method that changes the weights before they are rounded. Its text is written by the full-precision network. */
export interface TrainingMethod<Options = unknown> {
  readonly kind: 'training';
  /** Raised when weights come out otherwise than in the version before. */
  readonly version: number;
  /** Sequences of the text that it wants. */
  written(options: Options): number;
  /** What training asks of the machine, its own copies beside the memory of passes through the network. */
  cost(task: MethodTask<Options>): Cost;
  /** Leaves the trained weights in `kept`. */
  train(work: TrainingWork<Options>, signal?: AbortSignal): AsyncGenerator<RunEvent, void>;
}

export type Method = RoundingMethod | ScalingMethod | TrainingMethod;
