import type { ModelConfig } from '../model/config.ts';
import { cacheBytes } from '../network/cache-form.ts';
import { leastBytes } from '../network/memory-plan.ts';

/** Sequences that are written side by side: enough for full speed of the products, which pack every weight anew. */
const SIDE_BY_SIDE = 128;
/** Keys and values of the sequences that are written side by side, unless a single one has more. */
const CACHE_BYTES = 2 ** 30;

/**
 * Sequences that are written side by side. The model and the length decide it, and nothing of the machine: last bits of
 * the logits may follow from it.
 */
export function sequencesAtOnce(config: ModelConfig, length: number): number {
  return Math.max(1, Math.min(SIDE_BY_SIDE, Math.floor(CACHE_BYTES / cacheBytes(config, length))));
}

/** Sequences of the next part where `wanted` are left: as many in each part, and no part of a few at the end. */
export function nextPart(wanted: number, atOnce: number): number {
  return Math.ceil(wanted / Math.ceil(wanted / atOnce));
}

/** Bytes that writing takes beyond the mapped weights: the cache, and a pass for one token of each sequence. */
export function writingBytes(
  config: ModelConfig,
  length: number,
): { readonly cache: number; readonly all: number } {
  const sequences = sequencesAtOnce(config, length);
  const cache = cacheBytes(config, sequences * length);
  const logits = sequences * config.vocabSize * Float32Array.BYTES_PER_ELEMENT;
  const pass = leastBytes(config, { sequence: sequences, learns: false, prepared: 0 });
  return { cache, all: cache + logits + pass };
}
