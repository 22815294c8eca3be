import type { SeamName } from '../../../protocol/block.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import type { SeamState } from '../../network/seams.ts';
import { HalfSearch, type ScaleSearch } from './half-search.ts';
import { HALF_NAMES } from './halves.ts';
import { TextInParts } from './text-in-parts.ts';

/** Name of the method in events. */
const METHOD = 'awq';
/** Progress is reported so often. */
const INTERVAL_MS = 500;

export interface ScaleSearchTask extends ScaleSearch {
  /** Token blocks of one length. */
  readonly blocks: readonly Int32Array[];
  readonly scratch: () => Promise<string>;
}

/**
 * AWQ's scales (Lin et al. 2023, §3.2), layer by layer on full-precision inputs. Scales leave the network's function
 * alone, so what a layer reads does not depend on those found before.
 * @returns the factors of the four seams of every layer.
 */
export async function* searchScales(
  task: ScaleSearchTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, SeamState> {
  const { network, blocks } = task;
  const found: Partial<Record<SeamName, Float32Array>>[] = [];
  const text = await TextInParts.open(network, blocks, task.scratch);
  let lastSaid = performance.now();
  try {
    await text.embed(signal);
    for (let layer = 0; layer < network.layers; layer++) {
      for (const [before, half] of HALF_NAMES.entries()) {
        const search = new HalfSearch(task, text, layer, half, signal).run();
        let next = await search.next();
        for (; !next.done; next = await search.next()) {
          if (performance.now() - lastSaid < INTERVAL_MS) continue;
          lastSaid = performance.now();
          yield progress(layer, network.layers, (before + next.value) / HALF_NAMES.length);
        }
        found[layer] = { ...found[layer], ...next.value };
        await text.advance();
      }
    }
  } finally {
    await text.close();
  }
  return bySeam(found);
}

function progress(layer: number, layers: number, ofLayer: number): RunEvent {
  const done = (layer + ofLayer) / layers;
  return timed({ type: 'rounding-progress', method: METHOD, layersDone: layer, layers, done });
}

function bySeam(layers: readonly Partial<Record<SeamName, Float32Array>>[]): SeamState {
  const seams = Object.keys(layers[0] ?? {}) as SeamName[];
  return Object.fromEntries(seams.map((seam) => [seam, layers.flatMap((layer) => layer[seam] ?? [])]));
}
