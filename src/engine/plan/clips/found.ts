/** Steps that find clip ratios have this in common. */
import { exceptionsSpec, LEARNED, type ResolvedExperiment, SEARCHED } from '../../../config/index.ts';
import { ROUNDED_SITES } from '../../../protocol/block.ts';
import { partialOf } from '../../../protocol/records.ts';
import { clipRatiosSchema, type LayerClips, readClipRatios } from '../../../runs/index.ts';
import { CLIP_RATIOS } from '../../calibration/clips/search.ts';
import type { SiteClips } from '../../network/site-clips.ts';
import { jsonKeeping } from '../keepings.ts';
import type { Step, StepContext } from '../step.ts';

/** Clip ratios that were found, by layer. */
export interface Clips extends Step<readonly LayerClips[]> {
  /** The file of a run that keeps them. */
  readonly file: 'clipRatios' | 'startClips' | 'learnedClips';
  /** The search that learning started from; null for a search. */
  readonly start: Clips | null;
}

export const FOUND = jsonKeeping<readonly LayerClips[]>(clipRatiosSchema);
/** The ratios that a run keeps under this key. @returns null where there are none. */
export async function keptClips(
  { bench, places }: StepContext,
  file: Clips['file'],
  key: string,
): Promise<readonly LayerClips[] | null> {
  for (const path of places.others(file, key)) {
    const layers = await readClipRatios(path, key);
    if (layers.length === bench.checkpoint.config.layers) return layers;
  }
  return null;
}

/** Sites that are not learned keep what was searched for them. */
export function ratiosOf(layer: LayerClips): SiteClips[number] {
  return partialOf(ROUNDED_SITES, (site) => {
    const { ratio, lower } = layer[site] ?? {};
    return ratio === undefined || lower === undefined ? ratio : { upper: ratio, lower };
  });
}

/**
 * Settings that decide the ratios, beside the maps' numbers and the text.
 * @param isSearch true where it does not count which ratios are learned behind it.
 */
export function clipsSpec({ quantization, rotation }: ResolvedExperiment, isSearch: boolean): unknown {
  const { activations, keys, values } = quantization;
  const { r3, r4, r4Blocks, acrossHeads, embeddingCentring } = rotation;
  const seen = <T extends { readonly clipRatio: unknown }>(part: T): T =>
    isSearch && part.clipRatio === LEARNED ? { ...part, clipRatio: SEARCHED } : part;
  return {
    ratios: CLIP_RATIOS,
    quantizers: {
      ...{ activations: seen(activations), keys: seen(keys), values: seen(values) },
      ...exceptionsSpec(quantization),
    },
    rotation: { r3, r4, r4Blocks, acrossHeads, embeddingCentring },
  };
}
