import type { ScaleShare, Site } from '../protocol/block.ts';
import type { Quantization } from './schema-quantization.ts';

/** The quantizer that an experiment puts at a site. */
export interface SiteQuantizer {
  readonly bits: number;
  readonly symmetric: boolean;
  /** Factor on both ends of the range. */
  readonly clipRatio: number;
  /** Whether the range is made to hold 0. */
  readonly includeZero: boolean;
  /** A group has `groupSize` channels. */
  readonly shares: ScaleShare;
  /** Channels of a group, as written; null unless `shares` is `group`. */
  readonly groupSize: number | null;
}

/**
 * The quantizer of every site as SpinQuant places them: whole tokens (or groups) at the inputs of q, k, v, gate, up and
 * down; one scale per head at the input of o, for values and for keys. Whole tokens and keys have 0 inside their range,
 * the others not, as in the reference.
 * @returns null where nothing is quantized: queries always, the others at 16 bits.
 */
export function siteQuantizer(site: Site, quantization: Quantization): SiteQuantizer | null {
  const quantizer = at(site, quantization);
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

function range({
  bits,
  symmetric,
  clipRatio,
}: Pick<SiteQuantizer, 'bits' | 'symmetric' | 'clipRatio'>): Pick<
  SiteQuantizer,
  'bits' | 'symmetric' | 'clipRatio'
> {
  return { bits, symmetric, clipRatio };
}
