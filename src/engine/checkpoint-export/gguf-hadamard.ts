/** R4 in a GGUF file, by the keys `prism.hadamard.*` that some forks of llama.cpp read; llama.cpp has none. */
import type { GgufValue } from '../../formats/gguf-write.ts';
import type { ModelConfig } from '../model/config.ts';
import { HADAMARD_AXIS, HADAMARD_TRANSFORM, hadamardKey } from '../model/gguf/hadamard.ts';
import type { SeamMaps } from '../network/seams.ts';
import { type PlacedMap, runTimeMaps } from './run-time-maps.ts';

/** Why the keys cannot say a map, and what to do; null where they can. */
export function forkObstacle(
  { linear, map }: PlacedMap,
  { intermediateSize }: Pick<ModelConfig, 'intermediateSize'>,
): { readonly there: string; readonly hint: string } | null {
  if (linear !== 'down' || map.kind === 'across-heads')
    return {
      there: 'the forks transform channels that stand side by side, and this one mixes heads',
      hint: 'Make a run without it, or choose --hadamard folded.',
    };
  const { order, block } = map.transform;
  if (order === 1 && intermediateSize % block === 0) return null;
  return {
    there: 'the forks have blocks of a power of two',
    hint: 'Make a run with "r4Blocks": "power-of-two", or choose --hadamard folded.',
  };
}

/**
 * Keys for the maps of a network, which have passed {@link forkObstacle}: x becomes (x · signs) H / √block in blocks, before
 * the layers that are named. Our transform has no signs, so that all are 1.
 */
export function hadamardKeys(maps: SeamMaps, config: ModelConfig): Record<string, GgufValue> {
  const [placed] = runTimeMaps(maps);
  if (!placed) return {};
  const { layers, intermediateSize } = config;
  const names = Array.from({ length: layers }, (_, layer) => `blk.${layer}.ffn_down.weight`);
  return {
    [hadamardKey('version')]: ['u32', 1],
    [hadamardKey('transform')]: ['text', HADAMARD_TRANSFORM],
    [hadamardKey('axis')]: ['text', HADAMARD_AXIS],
    [hadamardKey('block_size')]: ['u32', placed.map.transform.block],
    [hadamardKey('sign_mode')]: ['text', 'explicit'],
    [hadamardKey('sign_widths')]: ['i32', [intermediateSize]],
    [hadamardKey('sign_values')]: ['i32', new Array<number>(intermediateSize).fill(1)],
    [hadamardKey('weight_names')]: ['text', names],
  };
}
