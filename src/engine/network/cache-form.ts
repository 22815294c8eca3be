import { BYTES_PER_ELEMENT } from '../../protocol/tensor.ts';
import { BLOCK_TOKENS, blocksOf, packedTokenBytes } from '../graph/fused/pack-cache.ts';
import type { CacheForms } from '../graph/fused/packed-attention.ts';
import type { ModelConfig } from '../model/config.ts';
import { type CachedNumbers, FULL_PRECISION, type LayerQuantizers } from './layer-shape.ts';
import { type NetworkQuantizers, quantizersOfLayers } from './network-quantizers.ts';

type CacheQuantizers = Pick<LayerQuantizers, 'keys' | 'values' | 'wholeTokens'>;

/** How a cache stores keys and values as codes; null where it holds numbers: 16 bits have no codes, nor have some tokens. */
export function cacheFormsOf({ keys, values, wholeTokens }: CacheQuantizers): CacheForms | null {
  return keys.bits < 16 && values.bits < 16 && wholeTokens === undefined ? { keys, values } : null;
}

/**
 * The numbers of a cache without codes: halves, off by 2⁻¹¹ of a number at most, less than the rounding of the layer
 * brings. A layer in full precision keeps float32: halves change which token is the likeliest in one of some hundred
 * places (bench/README.md). So does one whose first tokens are to be exact.
 */
export function cachedNumbers(quantizers: LayerQuantizers): CachedNumbers {
  const isExact = isFullPrecision(quantizers) || quantizers.wholeTokens !== undefined;
  return quantizers.cachedNumbers ?? (isExact ? 'float32' : 'float16');
}

function isFullPrecision({ weights, otherWeights, ...others }: LayerQuantizers): boolean {
  const { input, gateUpInput = input, outputInput, downInput, keys, values } = others;
  const ofWeights = [weights, ...Object.values(otherWeights ?? {})];
  return [...ofWeights, input, gateUpInput, outputInput, downInput, keys, values].every(
    ({ bits }) => bits >= 16,
  );
}

/** Bytes of keys and values of so many tokens in all layers: those of the network's quantizers, or of full precision. */
export function cacheBytes(
  config: ModelConfig,
  tokens: number,
  network: NetworkQuantizers = { quantizers: FULL_PRECISION },
): number {
  return sum(
    quantizersOfLayers(network, config.layers).map((quantizers) => {
      const stored = cacheFormsOf(quantizers) ? blocksOf(tokens) * BLOCK_TOKENS : tokens;
      return stored * layerTokenBytes(config, quantizers);
    }),
  );
}

/** Bytes of a token's keys and values in all layers, scales included. */
export function tokenCacheBytes(config: ModelConfig, network: NetworkQuantizers): number {
  const layers = quantizersOfLayers(network, config.layers);
  return sum(layers.map((quantizers) => layerTokenBytes(config, quantizers)));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function layerTokenBytes({ kvHeads, headDim }: ModelConfig, quantizers: LayerQuantizers): number {
  const forms = cacheFormsOf(quantizers);
  const ofHead = forms
    ? packedTokenBytes(headDim, forms.keys) + packedTokenBytes(headDim, forms.values)
    : 2 * headDim * BYTES_PER_ELEMENT[cachedNumbers(quantizers)];
  return kvHeads * ofHead;
}

/** Bytes of a token's keys and values against those that 16 bits a number take. */
export function shareOf16Bits(config: ModelConfig, network: NetworkQuantizers): number {
  return tokenCacheBytes(config, network) / (4 * config.layers * config.kvHeads * config.headDim);
}
