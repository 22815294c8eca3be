/** The quality gate: perplexity within x of full precision. Knows nothing of the editor. */
import type { PerplexityResult } from '../../runs/index.ts';

export interface GateOutcome {
  readonly passed: boolean;
  /** Quantized over full precision, less one; null when one of them was not measured. */
  readonly increase: number | null;
}

/** @param limit largest allowed relative increase: 0.1 allows 10 %. */
export function judge(result: PerplexityResult | undefined, limit: number): GateOutcome {
  if (result?.quantized == null || result.fullPrecision == null) return { passed: false, increase: null };
  const increase = result.quantized / result.fullPrecision - 1;
  return { passed: Number.isFinite(increase) && increase <= limit, increase };
}
