import { SEAM_NAMES, type SeamName } from '../../protocol/block.ts';
import { partialOf } from '../../protocol/records.ts';
import { float32, type Tensor } from '../../protocol/tensor.ts';
import type { Tensors } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';
import { isFixed, mapDims, mapsOfTensor, ofLayer, type SeamMaps, type SeamState, seamOf } from './seams.ts';

/** The maps as program inputs. The object stands for its content: new maps are a new object. */
export type MapTensors = Readonly<Partial<Record<SeamName, readonly Tensor[]>>>;

/** Numbers of a state in the shapes of the maps that stand at the seams; others are left out. */
export function mapTensors(maps: SeamMaps, state: SeamState, config: ModelConfig): MapTensors {
  return partialOf(SEAM_NAMES, (seam) => {
    const map = maps[seam];
    if (!map || isFixed(map)) return null;
    const place = seamOf(seam, config);
    const dims = mapDims(map, place);
    const numbers = state[seam];
    return numbers && joined(numbers, mapsOfTensor(map, place)).map((each) => float32(dims, each));
  });
}

/** Each so many arrays as one. */
function joined(arrays: readonly Float32Array[], count: number): readonly Float32Array[] {
  if (count === 1) return arrays;
  return Array.from({ length: arrays.length / count }, (_, index) => {
    const some = arrays.slice(index * count, (index + 1) * count);
    const size = some[0]?.length ?? 0;
    const whole = new Float32Array(count * size);
    some.forEach((one, at) => {
      whole.set(one, at * size);
    });
    return whole;
  });
}

/** The maps of a layer, by program input name. */
export function mapsOfLayer(maps: MapTensors, layer: number): Tensors {
  return partialOf(SEAM_NAMES, (seam) => maps[seam] && ofLayer(maps[seam], layer));
}
