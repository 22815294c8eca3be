import { LINEARS, type Linear, type MapSymbol } from '../../../protocol/block.ts';
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import type { WeightRecord, WeightStatistics } from '../../../runs/index.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { weightQuantizer } from '../../network/layer-shape.ts';
import { mergedSeams } from '../../network/linear-sites.ts';
import { type MapTensors, mapsOfLayer, mapTensors } from '../../network/map-tensors.ts';
import { quantizersAt } from '../../network/network-quantizers.ts';
import { NO_MAPS, type SeamMaps, symbolOf } from '../../network/seams.ts';
import type { Observed } from './activations.ts';
import { kurtosisOf, sqnrOf } from './moments.ts';
import { OBSERVE_WEIGHT, WEIGHT_IN_NEW_BASES, weightSums } from './observe-weight.ts';

/** Weights are read one at a time, whatever the network holds. */
const ONE_TOKEN = { batch: 1, sequence: 1 } as const;

/**
 * What merging the maps does to every weight: kurtosis, and SQNR when it is rounded to nearest on the experiment's grid.
 * Before are the weights that a network without maps rounds: those of the checkpoint times the gain of their norm.
 * @throws UserError `statistics/not-finite`.
 */
export async function observeWeights(
  cache: ProgramCache,
  observed: Observed,
  signal?: AbortSignal,
): Promise<WeightRecord[]> {
  const { network, maps, state } = observed;
  const given = mapTensors(maps, state, network.checkpoint.config);
  const records: WeightRecord[] = [];
  for (let layer = 0; layer < network.layers; layer++)
    for (const linear of LINEARS) {
      throwIfCancelled(signal);
      const rotation = actingOn(linear, maps);
      const look = (at: SeamMaps) => lookAt(cache, observed, { layer, linear, maps: at, given }, signal);
      const before = await look(NO_MAPS);
      const after = rotation.length > 0 ? await look(maps) : before;
      records.push({ layer, linear, rotation, before, after });
    }
  return records;
}

/** Each name once. */
function actingOn(linear: Linear, maps: SeamMaps): MapSymbol[] {
  const symbols = mergedSeams(linear, maps).flatMap((seam) => (maps[seam] ? symbolOf(seam, maps[seam]) : []));
  return [...new Set(symbols)];
}

interface Place {
  readonly layer: number;
  readonly linear: Linear;
  readonly maps: SeamMaps;
  readonly given: MapTensors;
}

async function lookAt(
  cache: ProgramCache,
  observed: Observed,
  { layer, linear, maps, given }: Place,
  signal?: AbortSignal,
): Promise<WeightStatistics> {
  const { network } = observed;
  const { shape, types, tensors } = network.layerContext(layer, ONE_TOKEN);
  const mapping = await cache.get(WEIGHT_IN_NEW_BASES, {
    linear,
    shape: { config: shape.config, maps },
    types,
  });
  const { w } = await mapping.run({ ...tensors, ...mapsOfLayer(given, layer) }, signal);
  const [rows = 0, columns = 0] = w.dims;
  const quantizer = weightQuantizer(linear, quantizersAt(observed, layer));
  const observing = await cache.get(OBSERVE_WEIGHT, { rows, columns, quantizer });
  const { powers, noise } = weightSums(await observing.run({ w }, signal));
  if (!Number.isFinite(powers[0]))
    throw new UserError(
      'statistics/not-finite',
      `The weights of ${linear} in layer ${layer}, with its maps in them, are not all finite.`,
      'Check the checkpoint: another copy of it, or another rotation or scaling, may help.',
    );
  return { kurtosis: kurtosisOf(powers, rows * columns), sqnrDb: sqnrOf(powers[1] ?? 0, noise) };
}
