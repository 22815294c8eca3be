import type { LazyTensor } from '../../formats/safetensors-write.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';

/** How an import tells where it is, and how it is stopped. */
export interface ImportProgress {
  readonly signal?: AbortSignal | undefined;
  /** Called before each tensor with the number done. */
  readonly onTensor?: ((done: number, all: number) => void) | undefined;
}

/** Returns the tensors, each of which reports progress when its turn comes. */
export function reported(
  tensors: Readonly<Record<string, LazyTensor>>,
  { signal, onTensor }: ImportProgress,
): Record<string, LazyTensor> {
  const entries = Object.entries(tensors);
  let done = 0;
  const load = async (tensor: LazyTensor) => {
    // Reading and decoding never yield, so this lets a signal in.
    await new Promise(setImmediate);
    throwIfCancelled(signal);
    onTensor?.(done++, entries.length);
    return tensor.load();
  };
  return Object.fromEntries(entries.map(([name, tensor]) => [name, { ...tensor, load: () => load(tensor) }]));
}
