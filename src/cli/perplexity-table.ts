import { formatDelta, formatPerplexity } from '../protocol/text.ts';
import type { PerplexityResult } from '../runs/index.ts';
import { formatTable } from './table.ts';

/** Formats the perplexity of each text, full precision against quantized. */
export function perplexityTable(results: readonly PerplexityResult[]): string {
  return formatTable(
    ['perplexity', 'full precision', 'quantized', 'change', 'windows', 'tokens'],
    results.map((result) => [
      result.name,
      formatPerplexity(result.fullPrecision),
      formatPerplexity(result.quantized),
      formatDelta(result.quantized, result.fullPrecision),
      String(result.windows),
      String(result.tokens),
    ]),
    ['left', 'right', 'right', 'right', 'right', 'right'],
  );
}
