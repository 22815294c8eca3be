import type { Quantization } from '../../../config/index.ts';
import type { Grid, Site, SiteDetail } from '../../../protocol/panels/layers.ts';

/** The settings of the quantizer at a site. */
export interface SiteQuantizer {
  readonly bits: number;
  readonly symmetric: boolean;
  readonly clipRatio: number;
  /** Whether the range is made to hold 0. */
  readonly includeZero: boolean;
  /** What one scale covers. */
  readonly scalePart: SiteDetail['scalePart'];
}

/** The quantizer that an experiment puts at a site; null where nothing is quantized (16 bits, and queries always). */
export function siteQuantizer(site: Site, { activations, keys, values }: Quantization): SiteQuantizer | null {
  const quantizer = ((): SiteQuantizer | null => {
    switch (site) {
      case 'query':
        return null;
      case 'key':
        return { ...keys, includeZero: true, scalePart: 'head' };
      case 'value':
        return { ...values, includeZero: false, scalePart: 'head' };
      case 'o-input':
        return { ...activations, includeZero: false, scalePart: 'head' };
      case 'attention-input':
      case 'mlp-input':
      case 'down-input': {
        const grouped = activations.groupSize !== null;
        return { ...activations, includeZero: !grouped, scalePart: grouped ? 'group' : 'token' };
      }
    }
  })();
  return quantizer && quantizer.bits < 16 ? quantizer : null;
}

/**
 * The values a quantizer can store when its range is lo … hi, ascending.
 * Symmetric: s = c·max|x|/(2^{b−1}−1), codes −2^{b−1} … 2^{b−1}−1. Asymmetric: s = c·(hi−lo)/(2^b−1),
 * z = round(−c·lo/s), codes 0 … 2^b−1, value s(q − z).
 */
export function quantizationGrid(quantizer: SiteQuantizer, lo: number, hi: number): Omit<Grid, 'of'> {
  const { bits, symmetric, clipRatio, includeZero } = quantizer;
  const codes = Array.from({ length: 2 ** bits }, (_, code) => code);
  if (symmetric) {
    const scale = (clipRatio * Math.max(Math.abs(lo), Math.abs(hi))) / (2 ** (bits - 1) - 1) || 1;
    return { bits, symmetric, levels: codes.map((code) => scale * (code - 2 ** (bits - 1))) };
  }
  const low = clipRatio * (includeZero ? Math.min(lo, 0) : lo);
  const high = clipRatio * (includeZero ? Math.max(hi, 0) : hi);
  const scale = (high - low) / (2 ** bits - 1) || 1;
  const zero = Math.round(-low / scale);
  return { bits, symmetric, levels: codes.map((code) => scale * (code - zero)) };
}
