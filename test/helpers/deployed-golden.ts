/** Golden models quantized and rotated as experiments have them. */
import { experimentSchema } from '../../src/config/index.ts';
import type { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import type { Checkpoint } from '../../src/engine/model/checkpoint.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { Network } from '../../src/engine/network/network.ts';
import type { NetworkOptions } from '../../src/engine/network/network-options.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import { spinQuantMaps, spinQuantState } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { KRONECKER_MAPS, kroneckerState } from './kronecker.ts';

export interface Setting {
  readonly activations: 4 | 8 | 16;
  readonly cache: 4 | 8 | 16;
  /** True with R3, where keys are rounded, and R4. */
  readonly online: boolean;
  /** Settings of the weights in place of symmetric rows without a search. */
  readonly weights?: object;
  /** Channels of a token that share a scale; null or absent: all. */
  readonly activationGroup?: number;
  /** What is taken out of keys; absent: as an experiment has it. */
  readonly keyOffset?: 'none' | 'bias' | 'mean';
  /** Tokens at the beginning whose keys and values are not rounded; absent: none. */
  readonly firstTokens?: { readonly keys: number; readonly values: number };
  /** True with products of Kronecker behind norms and before down, which stand where R4 does. */
  readonly kronecker?: true;
  /** As an experiment has them. */
  readonly exceptions?: readonly object[];
}

export const labelOf = ({ activations, cache, online }: Setting): string =>
  `W4A${activations}KV${cache} ${online ? 'had' : 'no_had'}`;

/** Quantizers and maps as an experiment has them. */
function formOf(setting: Setting, config: ModelConfig) {
  const { activations, cache, online, weights, activationGroup = null, exceptions } = setting;
  const { quantization, rotation } = experimentSchema.parse({
    model: 'model',
    quantization: {
      weights: { bits: 4, clip: false, ...weights },
      activations: { bits: activations, groupSize: activations === 16 ? null : activationGroup },
      keys: { bits: cache, offset: setting.keyOffset, firstTokens: setting.firstTokens?.keys },
      values: { bits: cache, firstTokens: setting.firstTokens?.values },
      exceptions,
    },
    rotation: { r1: 'hadamard', r2: 'hadamard', r3: online, r4: online },
  });
  const maps = spinQuantMaps({
    r1: true,
    r2: true,
    r3: online && cache < 16 ? planHadamard(config.headDim) : null,
    r4: online ? planHadamard(config.intermediateSize) : null,
  });
  const own = { ...maps, ...(setting.kronecker && KRONECKER_MAPS) };
  return { ...quantizersOf(quantization, rotation, config), maps: own };
}

export function deployedGolden(
  cache: ProgramCache,
  checkpoint: Checkpoint,
  setting: Setting,
  options: Partial<NetworkOptions> = {},
): Network {
  const { config } = checkpoint;
  const form = formOf(setting, config);
  const network = new Network(cache, checkpoint, {
    ...{ mode: 'merged', ...form, centreEmbedding: false },
    ...options,
  });
  const sizes = { hidden: config.hiddenSize, headDim: config.headDim, layers: config.layers };
  const { r1, r2 } = drawRotations(sizes, { r1: 'hadamard', r2: 'hadamard' }, new Rng(3));
  network.setMaps({ ...spinQuantState(r1, r2), ...(setting.kronecker && kroneckerState(config, 5)) });
  return network;
}
