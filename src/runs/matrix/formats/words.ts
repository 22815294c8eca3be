import { formatPerplexity } from '../../../protocol/text.ts';
import type { Metric, Spread } from '../summary.ts';

/** `wikitext2 (perplexity)`. */
export function headingOf({ metric, name }: Metric): string {
  return `${name} (${metric})`;
}

/** `8.123`, or `8.123 ± 0.045 (n = 3)` over seeds. */
export function spreadText({ mean, deviation, n }: Spread, plusMinus = '±'): string {
  if (deviation === null) return formatPerplexity(mean);
  return `${formatPerplexity(mean)} ${plusMinus} ${formatPerplexity(deviation)} (n = ${n})`;
}
