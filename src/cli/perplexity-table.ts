import type { MeanLoss } from '../protocol/perplexity.ts';
import { formatDelta, formatPerplexity } from '../protocol/text.ts';
import type { PerplexityResult } from '../runs/index.ts';
import { formatTable } from './table.ts';

/** Formats the perplexity of each text, full precision against quantized; below, what does not fit into a number. */
export function perplexityTable(results: readonly PerplexityResult[]): string {
  const table = formatTable(
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
  return [table, ...results.flatMap(overflows)].join('\n');
}

const VARIANTS = [
  ['fullPrecision', 'at full precision'],
  ['quantized', 'quantized'],
] as const satisfies readonly (readonly [keyof MeanLoss, string])[];

function overflows({ name, meanLoss, ...values }: PerplexityResult): string[] {
  return VARIANTS.flatMap(([variant, words]) => {
    const loss = meanLoss?.[variant] ?? null;
    if (values[variant] !== Number.POSITIVE_INFINITY || loss === null) return [];
    return [`${name}, ${words}: larger than 1e308; the mean loss is ${loss.toFixed(2)} nats per token.`];
  });
}
