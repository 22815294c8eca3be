/** Perplexity and the mean loss that it is the exponential of. */

/** The mean negative log-likelihood of each variant in nats per token; null where it was not measured. */
export interface MeanLoss {
  readonly fullPrecision: number | null;
  readonly quantized: number | null;
}

/** Above a mean loss of 709.78 nats the exponential overflows to infinity. */
export const OVERFLOW = '> 1e308';

/**
 * Returns a perplexity as it was measured. JSON has no infinity and writes null in its place, the same as for a text
 * that was not measured. The mean loss tells them apart.
 * @param meanLoss in nats per token; null or undefined where not measured, or in files of earlier versions.
 */
export function measuredPerplexity(value: number | null, meanLoss: number | null | undefined): number | null {
  return value ?? (typeof meanLoss === 'number' ? Math.exp(meanLoss) : null);
}
