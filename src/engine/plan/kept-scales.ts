import { existsSync } from 'node:fs';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { SEAM_NAMES, type SeamName } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { partialOf } from '../../protocol/records.ts';
import { float32 } from '../../protocol/tensor.ts';
import type { ModelConfig } from '../model/config.ts';
import { mapDims, type SeamMaps, type SeamState, seamOf, seamsIn } from '../network/seams.ts';

/**
 * Keeps the numbers of a scaling method's maps in a file, which is whole or absent: `attention-norm.0` and so on, by seam
 * and layer.
 * @param key of all that decides them.
 */
export async function writeScales(path: string, key: string, state: SeamState): Promise<void> {
  const tensors = seamsIn(state).flatMap((seam) =>
    (state[seam] ?? []).map(
      (factors, layer) => [nameOf(seam, layer), float32([factors.length], factors)] as const,
    ),
  );
  await writeSafetensors(path, Object.fromEntries(tensors), { key });
}

/** Returns null where there is no such file, it has another key, or it is damaged: scales are then searched again. */
export function readScales(path: string, key: string, maps: SeamMaps, config: ModelConfig): SeamState | null {
  if (!existsSync(path)) return null;
  try {
    const { tensors, metadata } = readSafetensorsHeader(path);
    if (metadata.key !== key) return null;
    const read = (seam: SeamName, layer: number): Float32Array | null => {
      const [tensor, map] = [tensors.get(nameOf(seam, layer)), maps[seam]];
      const dims = map && mapDims(map, seamOf(seam, config));
      if (tensor?.dtype !== 'float32' || tensor.dims.join() !== dims?.join()) return null;
      const factors = toFloat32(tensor);
      return factors.every((factor) => Number.isFinite(factor) && factor !== 0) ? factors : null;
    };
    const state = partialOf(SEAM_NAMES, (seam) => {
      if (!maps[seam]) return null;
      const layers = Array.from({ length: config.layers }, (_, layer) => read(seam, layer));
      return layers.every((factors) => factors !== null) ? layers : null;
    });
    return seamsIn(maps).every((seam) => state[seam]) ? state : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

const nameOf = (seam: SeamName, layer: number): string => `${seam}.${layer}`;
