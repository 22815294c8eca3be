/** The quality gate: perplexity within x of full precision. Knows nothing of the editor. */
import type { PerplexityResult } from '../../runs/index.ts';

export interface GateOutcome {
  readonly passed: boolean;
  /** Quantized over full precision, less one; null when one of them was not measured, or is too large for a number. */
  readonly increase: number | null;
}

/** @param limit largest allowed relative increase: 0.1 allows 10 %. */
export function judge(result: PerplexityResult | undefined, limit: number): GateOutcome {
  if (result?.quantized == null || result.fullPrecision == null) return { passed: false, increase: null };
  const { quantized, fullPrecision } = result;
  // Not by the quotient: 11 against 10 is 10 %, and 11 / 10 − 1 is more than 0.1.
  const passed = Number.isFinite(quantized) && quantized <= fullPrecision * (1 + limit);
  const increase = quantized / fullPrecision - 1;
  return { passed, increase: Number.isFinite(increase) ? increase : null };
}
