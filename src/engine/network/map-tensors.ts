import type { SeamName } from '../../protocol/block.ts';
import { float32, type Tensor } from '../../protocol/tensor.ts';
import type { Tensors } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';
import { mapDims, ofLayer, type SeamMaps, type SeamState, seamOf, seamsIn } from './seams.ts';

/** The maps as program inputs. The object stands for its content: new maps are a new object. */
export type MapTensors = Readonly<Partial<Record<SeamName, readonly Tensor[]>>>;

/** Numbers of a state in the shapes of the maps that stand at the seams; others are left out. */
export function mapTensors(maps: SeamMaps, state: SeamState, config: ModelConfig): MapTensors {
  const entries = seamsIn(state).flatMap((seam) => {
    const map = maps[seam];
    if (!map || map.kind === 'hadamard') return [];
    const dims = mapDims(map, seamOf(seam, config).width);
    return [[seam, (state[seam] ?? []).map((numbers) => float32(dims, numbers))] as const];
  });
  return Object.fromEntries(entries);
}

/** The maps of a layer, by program input name. */
export function mapsOfLayer(maps: MapTensors, layer: number): Tensors {
  return Object.fromEntries(seamsIn(maps).map((seam) => [seam, ofLayer(maps[seam] ?? [], layer)]));
}
