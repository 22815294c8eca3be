/** Packed tokens as rows of bytes: the cache of exported models, which grows by whole tokens. */
import { type Attributes, intAttribute, type OpDefinition } from '../graph.ts';
import { BLOCK_TOKENS, blocksOf, type CacheForm, packedLayout, packedTokenBytes } from './pack-cache.ts';

/**
 * Attributes of rows int8 [..., tokens, bytes] of heads of `width` channels: a row has the codes of a token, its zero
 * points and its scales, then what fills it up (native-kernels/ops/packed_cache/token_rows.h).
 */
export function rowAttributes(width: number, form: CacheForm, role: 'keys' | 'values'): Attributes {
  const { bits, symmetric, group } = form;
  const numbers = { width, bits, group: group === width ? 0 : group };
  return { ...numbers, zeros: symmetric ? 0 : 1, keys: role === 'keys' ? 1 : 0 };
}

/** Bytes that a row needs at least. */
export const tokenRowBytes = packedTokenBytes;

/**
 * Puts new tokens behind the rows of those before. Inputs: rows int8 [..., past, bytes]; codes and scales of the new
 * tokens as PackCache gives them; their number, int64 [1]. The number of rows is known at run time only: `infer` leaves
 * room for whole blocks.
 */
export const AppendTokens: OpDefinition = {
  name: 'AppendTokens',
  domain: 'spinquant',
  infer: ([rows, codes]) => {
    const total = rows!.dim(-2) + codes!.dim(-2) * BLOCK_TOKENS;
    return [{ dtype: 'int8', dims: rows!.dims.with(-2, total) }];
  },
};

/** Rows int8 [..., tokens, bytes] as codes int8 [..., blocks, bytes] and scales [..., blocks, groups·16]. */
export const TokenBlocks: OpDefinition = {
  name: 'TokenBlocks',
  domain: 'spinquant',
  infer([rows], attributes) {
    const form = {
      bits: intAttribute(attributes, 'bits'),
      symmetric: intAttribute(attributes, 'zeros') === 0,
      group: intAttribute(attributes, 'group'),
    };
    const { blockBytes, blockScales } = packedLayout(intAttribute(attributes, 'width'), form);
    const lead = [...rows!.dims.slice(0, -2), blocksOf(rows!.dim(-2))];
    return [
      { dtype: 'int8', dims: [...lead, blockBytes] },
      { dtype: rows!.graph.real, dims: [...lead, blockScales] },
    ];
  },
};
