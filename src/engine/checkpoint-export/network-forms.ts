/** Other forms of a merged network, with the same maps. */
import { toFloat32 } from '../../formats/tensor-io.ts';
import { SEAM_NAMES } from '../../protocol/block.ts';
import { partialOf } from '../../protocol/records.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { openCheckpoint } from '../model/checkpoint.ts';
import { FULL_PRECISION, type LayerQuantizers } from '../network/layer-shape.ts';
import { Network } from '../network/network.ts';
import type { NetworkOptions } from '../network/network-options.ts';
import { changedQuantizers, weightsAlone } from '../network/network-quantizers.ts';
import { asState, isFixed, NO_MAPS, type SeamState, seamOf } from '../network/seams.ts';

/** The network of a folder of numbers. @throws UserError `model/…`, `safetensors/…`. */
export async function networkOfFolder(cache: ProgramCache, folder: string): Promise<Network> {
  const options = {
    mode: 'plain',
    quantizers: FULL_PRECISION,
    maps: NO_MAPS,
    centreEmbedding: false,
  } as const;
  return new Network(cache, await openCheckpoint(folder), options);
}

/** Weights with their maps, none of them rounded. */
export function withoutRounding(cache: ProgramCache, network: Network): Network {
  const { rounded: _, exceptions: __, ...options } = network.options;
  return withMaps(cache, network, { ...options, quantizers: FULL_PRECISION });
}

/**
 * The same weights, times activations, keys and values as they are.
 * @param rounded the weights, where they are not those of the network.
 */
export function weightsRoundedAlone(
  cache: ProgramCache,
  network: Network,
  rounded = network.options.rounded,
): Network {
  const { exceptions: _, ...others } = network.options;
  const options = { ...others, rounded };
  const quantizers = changedQuantizers(network.options, nothingElseRounded);
  return withMaps(cache, network, { ...options, ...quantizers });
}

/** The same weights, beside other quantizers of activations, keys and values. */
export function computedAs(
  cache: ProgramCache,
  network: Network,
  change: (quantizers: LayerQuantizers) => LayerQuantizers,
): Network {
  const { exceptions: _, ...others } = network.options;
  return withMaps(cache, network, { ...others, ...changedQuantizers(network.options, change) });
}

/** Quantizers of weights alone. */
export const nothingElseRounded = (own: LayerQuantizers): LayerQuantizers => ({
  ...FULL_PRECISION,
  ...weightsAlone(own),
});

function withMaps(cache: ProgramCache, network: Network, options: NetworkOptions): Network {
  const other = new Network(cache, network.checkpoint, { ...options, integer: 'never' });
  other.setMaps(stateOf(network));
  return other;
}

function stateOf(network: Network): SeamState {
  return partialOf(SEAM_NAMES, (seam) => {
    const map = network.options.maps[seam];
    if (!map || isFixed(map)) return null;
    const place = seamOf(seam, network.checkpoint.config);
    const tensors = Array.from({ length: place.count }, (_, layer) => {
      const numbers = network.maps(layer)[seam];
      if (!numbers) throw new Error(`the map at ${seam} has no numbers`);
      return toFloat32(numbers);
    });
    return asState(map, place, tensors);
  });
}
