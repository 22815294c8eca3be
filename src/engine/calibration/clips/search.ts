import { ROUNDED_SITES, type RoundedSite } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { partialOf } from '../../../protocol/records.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { FoundClip, LayerClips } from '../../../runs/index.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { LayerQuantizers } from '../../network/layer-shape.ts';
import type { Activations, Network } from '../../network/network.ts';
import type { TextSize } from '../../network/work.ts';
import { cutParts, type Part } from '../stream.ts';
import { CLIP_ERRORS, errorName } from './errors.ts';

/** Ratios that are tried: finer where those of 4 bits and more are, and down to where those of 2 bits may be. */
export const CLIP_RATIOS: readonly number[] = [
  ...[1, 0.975, 0.95, 0.925, 0.9, 0.875, 0.85, 0.825, 0.8, 0.775, 0.75],
  ...[0.7, 0.65, 0.6, 0.55, 0.5],
];

/** A ratio is one number for all tokens of a site: of more tokens it would be the same. */
const CLIPPED_TOKENS = 4096;

/** The first sequences of a text, as many as are looked at; at least one. */
export function clippedSequences({ sequences, length }: TextSize): number {
  return Math.max(1, Math.min(sequences, Math.floor(CLIPPED_TOKENS / length)));
}

export interface ClipSearch {
  readonly cache: ProgramCache;
  /** The merged network at full precision, with all maps of the deployed one. */
  readonly network: Network;
  readonly layers: readonly {
    /** Those of the deployed network. */
    readonly quantizers: LayerQuantizers;
    readonly sites: readonly RoundedSite[];
    /** What was found before, by a search that was stopped; null for nothing. */
    readonly known: LayerClips | null;
  }[];
}

/**
 * For each site of each layer the clip ratio with the least error of what it decides ({@link CLIP_ERRORS}), each where
 * all else is at full precision, so that no site's ratio depends on another's.
 * @param blocks sequences of one length. @returns yields what was found for one layer after the other.
 */
export async function* searchClips(
  { cache, network, layers }: ClipSearch,
  blocks: readonly Int32Array[],
  signal?: AbortSignal,
): AsyncGenerator<LayerClips, void> {
  const length = blocks[0]?.length ?? 1;
  const seen = blocks.slice(0, clippedSequences({ sequences: blocks.length, length }));
  const parts = cutParts(seen, network.memory.tokensAtOnce);
  const residual: Activations[] = [];
  for (const { ids } of parts) residual.push(owned(await network.embed(ids, signal)));
  for (const [layer, { quantizers, sites, known }] of layers.entries()) {
    const sums = partialOf(ROUNDED_SITES, (site) =>
      sites.includes(site) ? new Float64Array(CLIP_RATIOS.length) : null,
    );
    for (const [index, part] of parts.entries()) {
      throwIfCancelled(signal);
      const wanted = known ? [] : sites;
      const out = await errorsOf(
        { cache, network, layer, quantizers, part, sites: wanted },
        residual[index]!,
        signal,
      );
      residual[index] = owned(out.y);
      for (const site of wanted)
        for (const [ratio, error] of out[errorName(site)]!.data.entries()) sums[site]![ratio]! += error;
    }
    yield known ?? partialOf(ROUNDED_SITES, (site) => (sums[site] ? least(sums[site]) : null));
  }
}

interface OfPart {
  readonly cache: ProgramCache;
  readonly network: Network;
  readonly layer: number;
  readonly quantizers: LayerQuantizers;
  readonly part: Part;
  readonly sites: readonly RoundedSite[];
}

async function errorsOf(
  { cache, network, layer, quantizers, part, sites }: OfPart,
  x: Activations,
  signal?: AbortSignal,
) {
  const { shape, types, tensors } = network.layerContext(layer, part.shape);
  const own = { ...shape, quantizers };
  const program = await cache.get(CLIP_ERRORS, { shape: own, types, sites, ratios: CLIP_RATIOS });
  const weights = await network.weights(layer, part.shape, signal);
  return program.run({ ...tensors, ...network.maps(layer), ...weights, x }, signal);
}

/** The first of the ratios with the least error: of equal ones that which clips less. */
function least(errors: Float64Array): FoundClip {
  const best = errors.indexOf(Math.min(...errors));
  const whole = errors[0]!;
  return { ratio: CLIP_RATIOS[best]!, share: whole > 0 ? errors[best]! / whole : 1 };
}

/** A copy of its own: programs fill the same memory again. */
const owned = ({ dims, data }: Activations): Activations => float32(dims, data.slice());
