import type { ScaleShare, Site } from '../protocol/block.ts';
import { quantizationOfSite } from './exceptions.ts';
import { LEARNED, type Quantization } from './schema-quantization.ts';
import type { Rotation } from './schema-rotation.ts';

/** An experiment has this quantizer at a site. */
export interface SiteQuantizer {
  readonly bits: number;
  readonly symmetric: boolean;
  /** True where a symmetric grid covers the range by all its codes (`activations.fullRange`); absent elsewhere. */
  readonly fullRange?: true;
  /** Both ends of the range are multiplied by this. */
  readonly clipRatio: number;
  /** True where the ratio is found by a search; until then nothing is clipped. Absent elsewhere. */
  readonly isSearched?: true;
  /** True where ratios are learned behind that search. Absent elsewhere. */
  readonly isLearned?: true;
  /** True where the range is extended to include 0. */
  readonly includeZero: boolean;
  /** A group has `groupSize` channels. */
  readonly shares: ScaleShare;
  /** Channels of a group, as written; null unless `shares` is `group`. */
  readonly groupSize: number | null;
}

/**
 * Returns the quantizer of a site as SpinQuant places them. The inputs of q, k, v, gate, up and down have one scale per
 * whole token (or group). The input of o, values and keys have one scale per head. Whole tokens and keys have 0 inside
 * their range, the others do not, as in the reference. Where heads are mixed, the input of o is as the other inputs are.
 * @param layer whose exceptions count; null for layers without any.
 * @returns null where nothing is quantized: queries always, the others at 16 bits.
 */
export function siteQuantizer(
  site: Site,
  quantization: Quantization,
  { acrossHeads }: Pick<Rotation, 'acrossHeads'>,
  layer: number | null = null,
): SiteQuantizer | null {
  const own = quantizationOfSite(quantization, site, layer);
  const quantizer = at(site === 'o-input' && acrossHeads ? 'down-input' : site, own);
  return quantizer && quantizer.bits < 16 ? quantizer : null;
}

function at(site: Site, { activations, keys, values }: Quantization): SiteQuantizer | null {
  const perHead = { shares: 'head', groupSize: null } as const;
  switch (site) {
    case 'query':
      return null;
    case 'key':
      return { ...range(keys), ...perHead, includeZero: true };
    case 'value':
      return { ...range(values), ...perHead, includeZero: false };
    case 'o-input':
      return { ...range(activations), ...perHead, includeZero: false };
    case 'attention-input':
    case 'mlp-input':
    case 'down-input': {
      const { groupSize } = activations;
      const shares = groupSize === null ? 'token' : 'group';
      return { ...range(activations), shares, groupSize, includeZero: groupSize === null };
    }
  }
}

type Range = Pick<
  SiteQuantizer,
  'bits' | 'symmetric' | 'fullRange' | 'clipRatio' | 'isSearched' | 'isLearned'
>;

type Ranged = Pick<Quantization['activations' | 'keys' | 'values'], 'bits' | 'symmetric' | 'clipRatio'> &
  Partial<Pick<Quantization['activations'], 'fullRange'>>;

function range({ bits, symmetric, fullRange, clipRatio }: Ranged): Range {
  const grid = { bits, symmetric, ...(symmetric && fullRange && { fullRange }) };
  if (typeof clipRatio !== 'number')
    return { ...grid, clipRatio: 1, isSearched: true, ...(clipRatio === LEARNED && { isLearned: true }) };
  return { ...grid, clipRatio };
}
