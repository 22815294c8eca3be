import type { SiteQuantizer } from '../../../config/index.ts';
import type { Grid } from '../../../protocol/panels/layers.ts';

type Range = Pick<SiteQuantizer, 'bits' | 'symmetric' | 'fullRange' | 'clipRatio' | 'includeZero'>;

/**
 * The values a quantizer can store when its range is lo … hi, ascending.
 * Symmetric: s = c·max|x|/(2^{b−1}−1), or with the full range c·max|x|/(2^{b−1}−½), codes −2^{b−1} … 2^{b−1}−1. Asymmetric: s = c·(hi−lo)/(2^b−1),
 * z = round(−c·lo/s), codes 0 … 2^b−1, value s(q − z).
 */
export function quantizationGrid(quantizer: Range, lo: number, hi: number): Omit<Grid, 'of'> {
  const { bits, symmetric, fullRange = false, clipRatio, includeZero } = quantizer;
  const codes = Array.from({ length: 2 ** bits }, (_, code) => code);
  if (symmetric) {
    const top = 2 ** (bits - 1) - (fullRange ? 0.5 : 1);
    const scale = (clipRatio * Math.max(Math.abs(lo), Math.abs(hi))) / top || 1;
    return { bits, symmetric, levels: codes.map((code) => scale * (code - 2 ** (bits - 1))) };
  }
  const low = clipRatio * (includeZero ? Math.min(lo, 0) : lo);
  const high = clipRatio * (includeZero ? Math.max(hi, 0) : hi);
  const scale = (high - low) / (2 ** bits - 1) || 1;
  const zero = Math.round(-low / scale);
  return { bits, symmetric, levels: codes.map((code) => scale * (code - zero)) };
}
