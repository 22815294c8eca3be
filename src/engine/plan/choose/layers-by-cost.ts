import {
  type Exception,
  INPUT_OF_SITE,
  LINEARS_OF_SITE,
  sitesOf,
  worstLayers,
} from '../../../config/index.ts';
import type { RoundedPart } from '../../../protocol/block.ts';
import type { AttributionFile } from '../../../runs/index.ts';

/** The parts of a layer that an exception changes. */
export function partsOf(exception: Exception): RoundedPart[] {
  const sites = sitesOf(exception);
  return [
    ...(exception.activations ? sites.map((site) => INPUT_OF_SITE[site]) : []),
    ...(exception.weights
      ? sites.flatMap((site) => LINEARS_OF_SITE[site].map((linear) => `${linear}-weight` as const))
      : []),
    ...(exception.keys ? (['key'] as const) : []),
    ...(exception.values ? (['value'] as const) : []),
  ];
}

/** The exception with the layers in which its parts cost most; as it is where it names its layers. */
export function withWorstLayers(exception: Exception, { cells }: Pick<AttributionFile, 'cells'>): Exception {
  const count = worstLayers(exception);
  if (count === null) return exception;
  const parts = partsOf(exception);
  const costs = new Map<number, number>();
  for (const { layer, part, share } of cells)
    costs.set(layer, (costs.get(layer) ?? 0) + (parts.includes(part) ? share : 0));
  const ordered = [...costs].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([layer]) => layer);
  return { ...exception, layers: ordered.slice(0, count).sort((a, b) => a - b) };
}
