import { SEAM_NAMES, type SeamName } from '../../protocol/block.ts';
import { partialOf } from '../../protocol/records.ts';
import { float32, type Tensor } from '../../protocol/tensor.ts';
import type { Tensors } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';
import { mapDims, ofLayer, type SeamMaps, type SeamState, seamOf } from './seams.ts';

/** The maps as program inputs. The object stands for its content: new maps are a new object. */
export type MapTensors = Readonly<Partial<Record<SeamName, readonly Tensor[]>>>;

/** Numbers of a state in the shapes of the maps that stand at the seams; others are left out. */
export function mapTensors(maps: SeamMaps, state: SeamState, config: ModelConfig): MapTensors {
  return partialOf(SEAM_NAMES, (seam) => {
    const map = maps[seam];
    if (!map || map.kind === 'hadamard') return null;
    const dims = mapDims(map, seamOf(seam, config));
    return state[seam]?.map((numbers) => float32(dims, numbers));
  });
}

/** The maps of a layer, by program input name. */
export function mapsOfLayer(maps: MapTensors, layer: number): Tensors {
  return partialOf(SEAM_NAMES, (seam) => maps[seam] && ofLayer(maps[seam], layer));
}
