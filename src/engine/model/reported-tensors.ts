import type { LazyTensor } from '../../formats/safetensors-write.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { BYTES_PER_ELEMENT, elementCount } from '../../protocol/tensor.ts';

/** How far an import is. */
export interface ImportedSoFar {
  readonly tensorsDone: number;
  readonly tensors: number;
  /** Of the weights as they are written. */
  readonly bytesDone: number;
  readonly bytes: number;
}

/** How an import tells where it is, and how it is stopped. */
export interface ImportProgress {
  readonly signal?: AbortSignal | undefined;
  /** Called before each tensor, and after the last one. */
  readonly onTensor?: ((soFar: ImportedSoFar) => void) | undefined;
}

/** Returns the tensors, each of which reports progress when its turn comes. */
export function reported(
  tensors: Readonly<Record<string, LazyTensor>>,
  { signal, onTensor }: ImportProgress,
): Record<string, LazyTensor> {
  const entries = Object.entries(tensors);
  const bytes = entries.reduce((sum, [, tensor]) => sum + bytesOf(tensor), 0);
  let [tensorsDone, bytesDone] = [0, 0];
  const tell = () => onTensor?.({ tensorsDone, tensors: entries.length, bytesDone, bytes });
  const load = async (tensor: LazyTensor) => {
    // Reading and decoding never yield, so this lets a signal in.
    await new Promise(setImmediate);
    throwIfCancelled(signal);
    tell();
    const loaded = await tensor.load();
    tensorsDone++;
    bytesDone += bytesOf(tensor);
    if (tensorsDone === entries.length) tell();
    return loaded;
  };
  return Object.fromEntries(entries.map(([name, tensor]) => [name, { ...tensor, load: () => load(tensor) }]));
}

const bytesOf = ({ dims, dtype }: LazyTensor): number => elementCount(dims) * BYTES_PER_ELEMENT[dtype];
