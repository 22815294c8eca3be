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
  { layers, kvHeads, headDim }: ModelConfig,
  tokens: number,
  quantizers: CacheQuantizers = FULL_PRECISION,
): number {
  const forms = cacheFormsOf(quantizers);
  if (!forms) return 2 * layers * kvHeads * headDim * tokens * Float32Array.BYTES_PER_ELEMENT;
  const perToken = packedTokenBytes(headDim, forms.keys) + packedTokenBytes(headDim, forms.values);
  return layers * kvHeads * blocksOf(tokens) * BLOCK_TOKENS * perToken;
}

/** Bytes of a token's keys and values against those that 16 bits a number take. */
export function shareOf16Bits({ headDim }: ModelConfig, quantizers: CacheQuantizers): number {
  const forms = cacheFormsOf(quantizers);
  if (!forms) return Float32Array.BYTES_PER_ELEMENT / 2;
  return (packedTokenBytes(headDim, forms.keys) + packedTokenBytes(headDim, forms.values)) / (4 * headDim);
}
