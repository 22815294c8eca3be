import { toFloat32 } from '../../formats/tensor-io.ts';
import { SEAMS, type SeamName } from '../../protocol/block.ts';
import type { FileTensor } from '../../protocol/tensor.ts';
import type { SeamState } from '../network/seams.ts';
import { rotationFault } from '../rotation/rotation-fault.ts';
import { LEARNED, MOMENT, mapName, SEARCHED } from './checkpoint-names.ts';

/** What a checkpoint of an experiment must hold. */
export interface ExpectedCheckpoint {
  /** The maps that learning started from: those of a checkpoint have their sizes. */
  readonly initial: SeamState;
  /** Steps of the whole learning. */
  readonly steps: number;
  /** Seams with moving averages. */
  readonly moments: readonly SeamName[];
  /** True where clip ratios serve several steps: the maps that they were searched on are kept too. */
  readonly searched: boolean;
}

type Tensors = ReadonlyMap<string, FileTensor>;

/** Tells in words, to follow the name of the file, what is wrong with a checkpoint; null for a sound one. */
export function checkpointFault(
  step: number,
  tensors: Tensors,
  { initial, steps, moments, searched }: ExpectedCheckpoint,
): string | null {
  if (step > steps) return `holds step ${step}; the experiment has ${steps}`;
  const prefixes = searched && step > 0 ? ['', SEARCHED] : [''];
  for (const prefix of prefixes)
    for (const seam of LEARNED)
      for (const [layer, map] of (initial[seam] ?? []).entries()) {
        const fault = mapFault(tensors, mapName(seam, layer, prefix), Math.sqrt(map.length));
        if (fault !== null) return fault;
      }
  for (const seam of step > 0 ? moments : []) {
    const fault = momentsFault(tensors, seam, initial[seam] ?? []);
    if (fault !== null) return fault;
  }
  return null;
}

function mapFault(tensors: Tensors, name: string, n: number): string | null {
  const fault = sizeFault(tensors, name, [n, n]);
  if (fault !== null) return fault;
  const problem = rotationFault(numbersOf(tensors, name), n);
  return problem && `holds a ${name} that is not a rotation: ${problem}`;
}

/** m as large as the maps, and a number v for each of them. */
function momentsFault(tensors: Tensors, seam: SeamName, maps: readonly Float32Array[]): string | null {
  const { symbol } = SEAMS[seam];
  const sizes = { m: maps.reduce((sum, { length }) => sum + length, 0), v: maps.length };
  for (const which of ['m', 'v'] as const) {
    const name = MOMENT[which] + symbol;
    const fault = sizeFault(tensors, name, [sizes[which]]);
    if (fault !== null) return fault;
    const bad = numbersOf(tensors, name).find(
      (value) => !Number.isFinite(value) || (which === 'v' && value < 0),
    );
    if (bad !== undefined)
      return `holds ${bad} in ${name}; ${which === 'v' ? 'numbers from 0' : 'finite numbers'} are expected`;
  }
  return null;
}

function sizeFault(tensors: Tensors, name: string, wanted: readonly number[]): string | null {
  const tensor = tensors.get(name);
  if (tensor === undefined) return `holds no ${name}`;
  const { dtype, dims } = tensor;
  if (
    dtype === 'float32' &&
    dims.length === wanted.length &&
    dims.every((size, axis) => size === wanted[axis])
  )
    return null;
  return `holds ${name} as ${dtype} [${dims.join(', ')}]; float32 [${wanted.join(', ')}] is expected`;
}

function numbersOf(tensors: Tensors, name: string): Float32Array {
  const tensor = tensors.get(name);
  return tensor === undefined ? new Float32Array() : toFloat32(tensor);
}
