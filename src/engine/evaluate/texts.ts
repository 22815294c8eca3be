import { type RunEvent, timed, type Variant } from '../../protocol/events.ts';
import type { PerplexityResult } from '../../runs/index.ts';
import type { Network } from '../network/network.ts';
import { measurePerplexity, type Perplexity, type PerplexityText, type WindowReader } from './perplexity.ts';

/** Networks to measure, made when their turn comes. */
export type VariantNetworks = Readonly<Partial<Record<Variant, () => Network>>>;

/** A reader that is opened for its turn, and closed after it. */
interface OpenedReader extends WindowReader {
  release(): Promise<void>;
}

type Measured = Network | OpenedReader;
type Measurable = Readonly<Partial<Record<Variant, () => Measured | Promise<Measured>>>>;

/** Measures every text with every variant, reporting progress. */
export async function* evaluateTexts(
  texts: readonly PerplexityText[],
  networks: Measurable,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, PerplexityResult[]> {
  const found = new Map<string, Partial<Record<Variant, Perplexity>>>(texts.map(({ name }) => [name, {}]));
  for (const variant of ['full-precision', 'quantized'] as const) {
    const network = await networks[variant]?.();
    if (!network) continue;
    try {
      for (const text of texts) {
        const perplexity = yield* evaluateText(network, text, variant, signal);
        found.set(text.name, { ...found.get(text.name), [variant]: perplexity });
      }
    } finally {
      if ('release' in network) await network.release();
    }
  }
  return texts.map(({ name, windows }) => {
    const { 'full-precision': full, quantized } = found.get(name) ?? {};
    return {
      name,
      fullPrecision: full?.perplexity ?? null,
      quantized: quantized?.perplexity ?? null,
      meanLoss: { fullPrecision: full?.meanLoss ?? null, quantized: quantized?.meanLoss ?? null },
      windows: windows.length,
      tokens: windows.length * (windows[0]!.length - 1),
    };
  });
}

async function* evaluateText(
  network: Network | WindowReader,
  text: PerplexityText,
  variant: Variant,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, Perplexity> {
  const began = performance.now();
  const measuring = measurePerplexity(network, text, signal);
  for (;;) {
    const next = await measuring.next();
    if (next.done) {
      const seconds = (performance.now() - began) / 1000;
      yield timed({ type: 'evaluation', name: text.name, variant, ...next.value, seconds });
      return next.value;
    }
    yield timed({ type: 'evaluation-progress', name: text.name, variant, ...next.value });
  }
}
