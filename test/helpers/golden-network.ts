/** The golden LLaMA with every rotation there is, drawn at random, and texts for it. */

import type { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import type { Checkpoint } from '../../src/engine/model/checkpoint.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import type { NetworkMode } from '../../src/engine/network/layer-programs.ts';
import type { LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import type { NetworkMemory } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { spinQuantMaps, spinQuantState } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';

export interface RotatedOptions {
  readonly mode: NetworkMode;
  readonly quantizers: LayerQuantizers;
  readonly memory?: NetworkMemory;
  readonly denseWeights?: boolean;
  /** True where heads are mixed at the input of o. */
  readonly mixesHeads?: boolean;
  /** False leaves out the Hadamard transform at the input of down. */
  readonly mixesProducts?: boolean;
}

export function rotatedNetwork(
  cache: ProgramCache,
  checkpoint: Checkpoint,
  { mixesHeads = false, mixesProducts = true, ...options }: RotatedOptions,
) {
  const { hiddenSize, heads, headDim, intermediateSize, layers } = checkpoint.config;
  const maps = spinQuantMaps({
    r1: true,
    r2: true,
    r3: planHadamard(headDim),
    r4: mixesProducts ? planHadamard(intermediateSize) : null,
    acrossHeads: mixesHeads ? planHadamard(heads) : null,
  });
  const network = new Network(cache, checkpoint, { ...options, maps, centreEmbedding: false });
  const sizes = { hidden: hiddenSize, headDim, layers };
  const rotations = drawRotations(sizes, { r1: 'random', r2: 'random' }, new Rng(2));
  network.setMaps(spinQuantState(rotations.r1, rotations.r2));
  return { network, rotations };
}

/** Token ids that differ from window to window. */
export function differentWindows({ vocabSize }: ModelConfig, count: number, sequence: number): Int32Array[] {
  return Array.from({ length: count }, (_, window) =>
    Int32Array.from({ length: sequence }, (_, i) => (i * 7 + window * 5 + i * i) % vocabSize),
  );
}
