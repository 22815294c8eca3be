import { throwIfCancelled } from '../../protocol/errors.ts';
import type { BatchShape, RowSharing } from '../network/layer-shape.ts';
import type { Activations, Network } from '../network/network.ts';

/** Sequences of one length on their way through the network. */
export interface Part {
  /** Token ids, sequence after sequence; where tokens share rows, one of each row. */
  readonly ids: Int32Array;
  readonly shape: BatchShape;
  /** Goes with `shape.rows`. */
  readonly sharing?: RowSharing;
}

/**
 * Passes batches through all layers, a layer at a time, so that its weights are prepared once for all of them.
 * @returns the residual of each behind the last layer, a row for each of its ids [ids, d].
 */
export async function passLayers(
  network: Network,
  parts: readonly Part[],
  signal?: AbortSignal,
): Promise<Activations[]> {
  const states: Activations[] = [];
  for (const { ids } of parts) states.push(await network.embed(ids, signal));
  // A layer writes where the residual before another one lay: new memory for each has the collector run all the time.
  const free = new Map<number, Activations>();
  for (let layer = 0; layer < network.layers; layer++) {
    for (const [index, { shape, sharing }] of parts.entries()) {
      throwIfCancelled(signal);
      const x = states[index]!;
      const y = free.get(x.data.length);
      states[index] = await network.layer(layer, x, shape, signal, {
        ...(sharing && { sharing }),
        ...(y && { y }),
      });
      free.set(x.data.length, x);
    }
  }
  return states;
}

/** Tokens whose residuals may be in memory together: those of one batch where all prepared weights are kept anyway. */
export function tokensTogether({ checkpoint, memory, keepsPrepared }: Network): number {
  const bytes = checkpoint.config.hiddenSize * Float32Array.BYTES_PER_ELEMENT;
  return keepsPrepared ? 0 : Math.floor(memory.groupBytes / bytes);
}
