import { BLOCK_TOKENS, blocksOf, packedTokenBytes } from '../graph/fused/pack-cache.ts';
import type { CacheForms } from '../graph/fused/packed-attention.ts';
import type { ModelConfig } from '../model/config.ts';
import { FULL_PRECISION, type LayerQuantizers } from './layer-shape.ts';

type CacheQuantizers = Pick<LayerQuantizers, 'keys' | 'values'>;

/** How a cache stores keys and values as codes; null where it holds numbers: 16 bits have no codes. */
export function cacheFormsOf({ keys, values }: CacheQuantizers): CacheForms | null {
  return keys.bits < 16 && values.bits < 16 ? { keys, values } : null;
}

/** Bytes of keys and values of so many tokens in all layers: those of the network's quantizers, or of float32. */
export function cacheBytes(
  config: ModelConfig,
  tokens: number,
  quantizers: CacheQuantizers = FULL_PRECISION,
): number {
  const stored = cacheFormsOf(quantizers) ? blocksOf(tokens) * BLOCK_TOKENS : tokens;
  return stored * tokenCacheBytes(config, quantizers);
}

/** Bytes of a token's keys and values in all layers, scales included. */
export function tokenCacheBytes(
  { layers, kvHeads, headDim }: ModelConfig,
  quantizers: CacheQuantizers,
): number {
  const forms = cacheFormsOf(quantizers);
  const ofHead = forms
    ? packedTokenBytes(headDim, forms.keys) + packedTokenBytes(headDim, forms.values)
    : 2 * headDim * Float32Array.BYTES_PER_ELEMENT;
  return layers * kvHeads * ofHead;
}

/** Bytes of a token's keys and values against those that 16 bits a number take. */
export function shareOf16Bits(config: ModelConfig, quantizers: CacheQuantizers): number {
  return tokenCacheBytes(config, quantizers) / (4 * config.layers * config.kvHeads * config.headDim);
}
