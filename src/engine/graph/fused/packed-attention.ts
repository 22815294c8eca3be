import {
  type Attributes,
  apply,
  floatAttribute,
  intAttribute,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import { add, scale } from '../ops/elementwise.ts';
import { concat, expand, gatherRows, reshape, slice, transpose } from '../ops/shape.ts';
import { CachedAttention } from './cached-attention.ts';
import type { CausalMask } from './causal-attention.ts';
import {
  BLOCK_TOKENS,
  type CacheForm,
  type PackedTokens,
  packedLayout,
  unpackedTokens,
} from './pack-cache.ts';

/** Packed keys and values of some tokens. */
export interface PackedPair {
  readonly keys: PackedTokens;
  readonly values: PackedTokens;
}

/** Packed tokens with room for whole blocks, of which the first `length` (int64 [1]) tokens are there. */
export interface PackedPast extends PackedPair {
  readonly length: Value;
}

/** Of keys and of values. */
export interface CacheForms {
  readonly keys: CacheForm;
  readonly values: CacheForm;
}

/**
 * A part of the keys that is not in their codes: coefficients [..., rows·n, m] times the rows of a table
 * [positions, m] are added to the scores, which are scaled already. For keys from which RoPE(b) was taken, b [G, h],
 * the table is [cos | sin] and the coefficients are scale·[q₁b₁ + q₂b₂ | q₂b₁ − q₁b₂] of halves of each query after RoPE.
 */
export interface ConstantPart {
  readonly coefficients: Value;
  readonly table: Value;
}

/**
 * CachedAttention over packed tokens: q [..., rows·n, h]; codes and scales of the new tokens' keys and values, each in
 * blocks of their own; those of the cache, and its length, int64 [1]; where keys have a constant part, its coefficients
 * and table. The native kernels read codes, and multiply a query by them as they are. With `joined` the result is
 * [B·n, heads·h] for q [B, G, rows·n, h].
 */
export const PackedAttention: OpDefinition = {
  name: 'PackedAttention',
  domain: 'spinquant',
  infer: ([q], attributes) => [{ dtype: q!.dtype, dims: resultDims(q!, attributes) }],
  compose(inputs, attributes) {
    const [q, ...rest] = inputs as [Value, ...Value[]];
    if (intAttribute(attributes, 'joined', 0) === 1) {
      const [apart] = PackedAttention.compose!(inputs, { ...attributes, joined: 0 });
      const [sequences, groups, stacked, width] = q.dims as [number, number, number, number];
      const n = intAttribute(attributes, 'rows');
      const heads = reshape(apart!, [sequences, groups, stacked / n, n, width]);
      return [reshape(transpose(heads, [0, 3, 1, 2, 4]), resultDims(q, attributes))];
    }
    const tokens = (at: number, role: 'key' | 'value'): Value => {
      const packed = { codes: rest[at]!, scales: rest[at + 1]! };
      return unpackedTokens(packed, packedLayout(q.dim(-1), formOf(attributes, role)), role === 'key');
    };
    const rows = intAttribute(attributes, 'rows');
    const own = (at: number, role: 'key' | 'value'): Value => slice(tokens(at, role), q.rank - 2, 0, rows);
    const [keys, values, length] = [own(0, 'key'), own(2, 'value'), rest[8]!];
    const [pastKeys, pastValues] = [tokens(4, 'key'), tokens(6, 'value')];
    const [coefficients, table] = [rest[9], rest[10]];
    if (!coefficients || !table)
      return CachedAttention.compose!([q, keys, values, pastKeys, pastValues, length], attributes);
    const widened = scale(coefficients, 1 / floatAttribute(attributes, 'scale'));
    const places = (count: number): Value => q.graph.ints(Array.from({ length: count }, (_, index) => index));
    const last = table.dim(0) - 1;
    const pastPlaces = q.graph.ints(Array.from({ length: pastKeys.dim(-2) }, (_, at) => Math.min(at, last)));
    const withTable = (x: Value, at: Value): Value => {
      const dims = [...x.dims.slice(0, -1), table.dim(1)];
      const lead = x.dims.slice(0, -2).map(() => 1);
      return concat(
        [x, expand(reshape(gatherRows(table, at), [...lead, ...dims.slice(-2)]), dims)],
        x.rank - 1,
      );
    };
    return CachedAttention.compose!(
      [
        concat([q, widened], q.rank - 1),
        withTable(keys, add(length, places(rows))),
        values,
        withTable(pastKeys, pastPlaces),
        pastValues,
        length,
      ],
      attributes,
    );
  },
};

function resultDims({ dims }: Value, attributes: Attributes): readonly number[] {
  if (intAttribute(attributes, 'joined', 0) === 0) return dims;
  const [sequences, groups, stacked, width] = dims as [number, number, number, number];
  const n = intAttribute(attributes, 'rows');
  return [sequences * n, groups * (stacked / n) * width];
}

const formOf = (attributes: Attributes, role: 'key' | 'value'): CacheForm => ({
  bits: intAttribute(attributes, `${role}_bits`),
  group: intAttribute(attributes, `${role}_group`),
  symmetric: intAttribute(attributes, `${role}_zeros`) === 0,
});

export const formAttributes = (
  { bits, group, symmetric }: CacheForm,
  role: 'key' | 'value',
  width: number,
): Attributes => ({
  [`${role}_bits`]: bits,
  [`${role}_group`]: group === width ? 0 : group,
  [`${role}_zeros`]: symmetric ? 0 : 1,
});

/** Tokens that packed ones have room for. */
export const roomOf = ({ codes }: PackedTokens): number => codes.dim(-2) * BLOCK_TOKENS;

/** @returns o [..., rows·n, h]. */
export function packedAttention(
  q: Value,
  own: PackedPair,
  past: PackedPast,
  forms: CacheForms,
  mask: CausalMask,
  constant: ConstantPart | null = null,
): Value {
  const width = q.dim(-1);
  const inputs = [own.keys, own.values, past.keys, past.values].flatMap(({ codes, scales }) => [
    codes,
    scales,
  ]);
  return apply(
    PackedAttention,
    [q, ...inputs, past.length, ...(constant ? [constant.coefficients, constant.table] : [])],
    {
      ...{ scale: { float: mask.scale }, rows: mask.rows, window: mask.window },
      ...formAttributes(forms.keys, 'key', width),
      ...formAttributes(forms.values, 'value', width),
    },
  );
}
