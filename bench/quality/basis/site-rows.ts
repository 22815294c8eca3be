/** What the readers of the residual read: the inputs of q/k/v and of gate/up, site by site. */
import type { Value } from '../../../src/engine/graph/graph.ts';
import type { Reals } from '../../../src/engine/graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../../src/engine/graph/program-cache.ts';
import type { LayerTypes } from '../../../src/engine/network/layer-inputs.ts';
import { layerExpression } from '../../../src/engine/network/layer-programs.ts';
import type { LayerShape } from '../../../src/engine/network/layer-shape.ts';
import type { Network } from '../../../src/engine/network/network.ts';
import { SEAMS } from '../../../src/protocol/block.ts';

const READERS = SEAMS.residual.sites;
type Reader = (typeof READERS)[number];

export interface SiteRows {
  readonly layer: number;
  readonly reader: Reader;
  /** [T, d], row-major: behind RMSNorm, without its gain. */
  readonly rows: Float32Array;
}

/**
 * Passes sequences through the plain network.
 * @param layers whose rows are kept.
 * @returns sites in the order of the data flow, the rows of all sequences behind each other.
 */
export async function siteRows(
  cache: ProgramCache,
  network: Network,
  sequences: readonly Int32Array[],
  layers: readonly number[],
): Promise<SiteRows[]> {
  const { config } = network.checkpoint;
  const tokens = sequences.reduce((sum, ids) => sum + ids.length, 0);
  const sites = layers.flatMap((layer) =>
    READERS.map((reader) => ({ layer, reader, rows: new Float32Array(tokens * config.hiddenSize) })),
  );
  let first = 0;
  for (const ids of sequences) {
    let x = await network.embed(ids);
    for (let layer = 0; layer <= Math.max(...layers); layer++) {
      const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: ids.length });
      const { y, ...seen } = await (await cache.get(READ_ROWS, { shape, types })).run({ ...tensors, x });
      for (const site of sites)
        if (site.layer === layer) site.rows.set(seen[site.reader].data, first * config.hiddenSize);
      x = y;
    }
    first += ids.length;
  }
  return sites;
}

const READ_ROWS: ProgramKind<
  { readonly shape: LayerShape; readonly types: LayerTypes },
  { y: Reals } & Record<Reader, Reals>
> = {
  name: 'bench-reader-rows',
  build({ shape, types }) {
    const seen = new Map<string, Value>();
    const { graph, y } = layerExpression(shape, types, 'plain', false, 'float32', (site, value) =>
      seen.set(site, value),
    );
    const outputs = READERS.map((reader) => [reader, seen.get(reader)]);
    return { graph, outputs: { y, ...Object.fromEntries(outputs) }, precision: shape.precision };
  },
};
