import { compile } from 'vega-lite';
import type { ChartSpec } from '../../webview/shared/chart-model.ts';

/** Returns what vega-lite has to say against specs. */
export function compileWarnings(specs: readonly ChartSpec[]): string[] {
  const warnings: string[] = [];
  const hear = (...args: readonly unknown[]) => {
    warnings.push(args.join(' '));
    return logger;
  };
  const logger = { level: () => logger, warn: hear, error: hear, info: () => logger, debug: () => logger };
  for (const spec of specs) compile(spec, { logger: logger as never });
  return warnings;
}
