import { mkdir } from 'node:fs/promises';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import type { RoundedLayers } from '../rounded-layers.ts';
import { removeTornFiles } from '../torn-files.ts';
import { SampledText } from './sampled-text.ts';
import { WeightClipper } from './weight-clipper.ts';

/** Name of the method in events and records. */
const METHOD = 'awq-clip';
/** Progress is reported so often. */
const INTERVAL_MS = 500;

export interface ClippingTask {
  /** Merged, its maps set, activations as they are; its weight quantizer gives bits and grids. */
  readonly network: Network;
  /** Token blocks of one length. */
  readonly blocks: readonly Int32Array[];
  /** Tokens that outputs are compared on. */
  readonly tokens: number;
  /** Folder of the rounded layers, also of those that an interrupted call left. */
  readonly layers: RoundedLayers;
}

/**
 * AWQ's clip search (Lin et al. 2023), layer by layer, then rounding to nearest. Every layer reads what full-precision
 * layers before it give. Layers that are rounded already are passed through only.
 */
export async function* clipWeights(
  cache: ProgramCache,
  task: ClippingTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const { network, blocks, tokens, layers } = task;
  const count = network.layers;
  const records = Array.from({ length: count }, (_, layer) => layers.record(layer));
  for (const [layer, record] of records.entries())
    if (record) yield timed({ type: 'rounding', layer, layers: count, ...record });
  const last = records.lastIndexOf(null);
  if (last < 0) return;
  await mkdir(layers.folder, { recursive: true });
  await removeTornFiles(layers.folder);
  const text = await SampledText.open(cache, network, blocks, { tokens, folder: layers.folder });
  const clipper = new WeightClipper(cache, network, signal);
  let lastSaid = performance.now();
  try {
    await text.embed(signal);
    for (let layer = 0; layer <= last; layer++) {
      const began = performance.now();
      const work = clipLayer(text, clipper, layer, records[layer] === null, signal);
      let next = await work.next();
      for (; !next.done; next = await work.next()) {
        if (performance.now() - lastSaid < INTERVAL_MS) continue;
        lastSaid = performance.now();
        const done = (layer + next.value) / count;
        yield timed({ type: 'rounding-progress', method: METHOD, layersDone: layer, layers: count, done });
      }
      if (next.value === null) continue;
      const { weights, errors } = next.value;
      const record = { method: METHOD, errors, seconds: (performance.now() - began) / 1000 };
      await layers.write(layer, weights, record);
      yield timed({ type: 'rounding', layer, layers: count, ...record });
    }
  } finally {
    await text.close();
  }
}

type Clipped =
  Awaited<ReturnType<WeightClipper['round']>> extends AsyncGenerator<number, infer R> ? R : never;

/** @returns yields the share of the layer that is done; null for a layer that was rounded before. */
async function* clipLayer(
  text: SampledText,
  clipper: WeightClipper,
  layer: number,
  isFresh: boolean,
  signal?: AbortSignal,
): AsyncGenerator<number, Clipped | null> {
  const passing = text.pass(layer, signal);
  let next = await passing.next();
  for (; !next.done; next = await passing.next()) yield next.value / 2;
  if (!isFresh) return null;
  const clipping = clipper.round(layer, next.value);
  let step = await clipping.next();
  for (; !step.done; step = await clipping.next()) yield (1 + step.value) / 2;
  return step.value;
}
