/** What every quantizer of a merged network reads and gives, for one text. */
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import { reshape } from '../../src/engine/graph/ops/shape.ts';
import type { ProgramCache, ProgramKind } from '../../src/engine/graph/program-cache.ts';
import { type LayerSpec, layerExpression } from '../../src/engine/network/layer-programs.ts';
import { type LayerShape, quantizerAt } from '../../src/engine/network/layer-shape.ts';
import { seenByReaders } from '../../src/engine/network/linear-sites.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { SITES, type Site } from '../../src/protocol/block.ts';

/** Of a site: rows of tokens [T, n] before and after rounding. */
export interface SiteNumbers {
  readonly layer: number;
  readonly site: Site;
  readonly bits: number;
  /** Channels that share a scale. */
  readonly group: number;
  readonly before: Float32Array;
  readonly after: Float32Array;
}

export interface Watched {
  /** In the order of the data flow. */
  readonly sites: readonly SiteNumbers[];
  /** [T, V] */
  readonly logits: Float32Array;
}

const WATCH: ProgramKind<Omit<LayerSpec, 'level'>> = {
  name: 'watched-layer',
  build({ shape, types, mode }) {
    const seen = new Map<Site, Value>();
    const { graph, y, inputs } = layerExpression(shape, types, mode, false, 'float32', (site, value) =>
      seen.set(site, value),
    );
    const outputs: Record<string, Value> = { y };
    for (const [site, value] of seen) {
      const quantizer = quantizerAt(site, shape.quantizers);
      if (!quantizer) continue;
      const read = site === 'key' ? turnedKeys(value, shape) : seenByReaders(inputs, site, value);
      outputs[`${site}.before`] = read;
      outputs[`${site}.after`] = fakeQuantize(read, quantizer);
    }
    return { graph, outputs };
  },
};

/** Keys [T, G·h] after R3. */
function turnedKeys(keys: Value, { maps, config }: LayerShape): Value {
  const map = maps['query-key'];
  if (map?.kind !== 'hadamard') return keys;
  const heads = reshape(keys, [keys.dim(0) * config.kvHeads, config.headDim]);
  return reshape(hadamard(heads, map.transform), keys.dims);
}

/** Takes a text through the network, layer by layer. */
export async function watch(cache: ProgramCache, network: Network, ids: Int32Array): Promise<Watched> {
  const batch = { batch: 1, sequence: ids.length };
  const sites: SiteNumbers[] = [];
  let x = await network.embed(ids);
  for (let layer = 0; layer < network.layers; layer++) {
    const { shape, types } = network.layerContext(layer, batch);
    const program = await cache.get(WATCH, { shape, types, mode: network.options.mode });
    const found = await program.run({ ...(await network.layerInputs(layer, batch)), x });
    for (const site of SITES) {
      const quantizer = quantizerAt(site, shape.quantizers);
      if (!quantizer) continue;
      const [before, after] = [found[`${site}.before`]!, found[`${site}.after`]!];
      const numbers = (tensor: typeof before) => tensor.data as Float32Array;
      sites.push({
        ...{ layer, site, bits: quantizer.bits, group: quantizer.group || before.dims[1]! },
        ...{ before: numbers(before), after: numbers(after) },
      });
    }
    x = found.y as typeof x;
  }
  return { sites, logits: (await network.logits(x)).data };
}
