import type { Site } from '../../protocol/block.ts';
import { elementCount } from '../../protocol/tensor.ts';
import { cachedAttention, type PastTokens } from '../graph/fused/cached-attention.ts';
import { causalAttention } from '../graph/fused/causal-attention.ts';
import { type ActivationQuantizer, fakeQuantize } from '../graph/fused/fake-quantize.ts';
import { hadamard } from '../graph/fused/hadamard.ts';
import { halfAttention } from '../graph/fused/half-attention.ts';
import { constantPart, type RotaryTables, rotaryConstant } from '../graph/fused/key-constant.ts';
import { packCache } from '../graph/fused/pack-cache.ts';
import { type PackedPair, type PackedPast, packedAttention } from '../graph/fused/packed-attention.ts';
import { rmsNorm } from '../graph/fused/rms-norm.ts';
import { rotaryEmbedding } from '../graph/fused/rotary.ts';
import { swiGlu } from '../graph/fused/swiglu.ts';
import type { Value } from '../graph/graph.ts';
import { add, mul, sub } from '../graph/ops/elementwise.ts';
import { gatherRows, reshape, toReal, transpose } from '../graph/ops/shape.ts';
import type { LayerShape } from './layer-shape.ts';
import type { Keep } from './tape.ts';
import { withWholeTokens } from './whole-tokens.ts';

/** The four places where a layer multiplies by weights. Each mode of the network (linear-sites.ts) fills them in. */
export interface LinearSites {
  /** From the normalised residual [T, d], gain not applied: q [T, H·h], k [T, G·h], v [T, G·h], in the channels of their seams. */
  qkv(normed: Value): readonly [Value, Value, Value];
  /** From the mixed values [T, H·h], in the channels of the value seam: what is added to the residual [T, d]. */
  output(mixed: Value): Value;
  gateUp(normed: Value): readonly [Value, Value];
  /** From SiLU(gate)∘up [T, f], before the map of its seam. */
  down(product: Value): Value;
}

/**
 * Position tables [S, h/2], the per-head norms of Qwen3 [h], the cache where there are tokens before these and, where
 * tokens share rows, {@link RowSharing}.
 */
export interface AttentionTables {
  readonly cos: Value;
  readonly sin: Value;
  readonly qNorm: Value | null;
  readonly kNorm: Value | null;
  /** The part of keys [1, G·h], before RoPE, that is taken out before they are quantized; absent or null for nothing. */
  readonly keyOffset?: Value | null;
  readonly rowOfToken?: Value;
  readonly tokenOfRow?: Value;
  /** Keys and values [B, G, C, h], or packed ones where the cache holds codes. */
  readonly past?: PastTokens | undefined;
  readonly packedPast?: PackedPast | undefined;
  /** Tables [C, h/2] of all positions that a cache has room for, where packed keys have an offset. */
  readonly positions?: RotaryTables | undefined;
}

/**
 * Sees each site's tensor while the layer is built, as rows of tokens [T, channels]: keys without their offset.
 * @param whole the same keys with it, where they have one.
 */
export type SiteObserver = (site: Site, value: Value, whole?: () => Value) => void;

/** Followers of the building of a layer. */
export interface LayerWatchers {
  readonly observe: SiteObserver;
  readonly keep: Keep;
  /** Sees keys and values [B, G, S, h] of the tokens as a cache holds them, where there is one. */
  readonly cached?: (keys: Value, values: Value) => void;
  /** The same where it holds codes. */
  readonly packed?: (tokens: PackedPair) => void;
  /** Rounds keys [B, G, S, h], or values [T, G·h], in another way than their quantizer alone does. */
  readonly round?: (site: 'key' | 'value', x: Value, quantizer: ActivationQuantizer) => Value;
  /** Sees what attention of a text without a cache is computed from. */
  readonly attends?: (parts: AttentionParts) => void;
}

/** Keys and values before they are rounded, and what attention makes of others in their place. */
export interface AttentionParts {
  /** In the channels of their map and without their offset [B, G, S, h]. */
  readonly keys: Value;
  /** [T, G·h]. */
  readonly values: Value;
  /** The mixed values [T, H·h] of such keys and values. */
  readonly mix: (keys: Value, values: Value) => Value;
}

export const UNWATCHED: LayerWatchers = { observe: () => undefined, keep: () => undefined };

/** One transformer block on the residual x [B·S, d], or [rows, d] where tokens share rows. */
export function buildLayer(
  x: Value,
  shape: LayerShape,
  linears: LinearSites,
  tables: AttentionTables,
  watchers: LayerWatchers,
): Value {
  const { observe, keep } = watchers;
  const epsilon = shape.config.rmsNormEps;
  const attentionInput = rmsNorm(x, epsilon);
  observe('attention-input', attentionInput);
  const [q, k, v] = linears.qkv(attentionInput);
  const mixed = attention({ q, k, v }, shape, tables, watchers);
  observe('o-input', mixed);
  const attended = add(x, linears.output(mixed));
  keep('attended', attended);
  const mlpInput = rmsNorm(attended, epsilon);
  observe('mlp-input', mlpInput);
  const [gate, up] = linears.gateUp(mlpInput);
  keep('gate', gate);
  keep('up', up);
  const product = swiGlu(gate, up);
  observe('down-input', product);
  return add(attended, linears.down(product));
}

type Projected = Readonly<Record<'q' | 'k' | 'v', Value>>;

/**
 * Causal grouped-query attention. Queries of one key/value head are stacked along the rows: [B, G, (H/G)·S, h]. Where
 * tokens share rows, every sequence has its own copies here, and one of them goes back to the row.
 */
function attention(
  projected: Projected,
  shape: LayerShape,
  tables: AttentionTables,
  watchers: LayerWatchers,
): Value {
  const parts = headsOf(projected, shape, tables, watchers.observe);
  return tables.packedPast
    ? packedMix(parts, tables.packedPast, shape, tables, watchers)
    : mix(parts, shape, tables, watchers);
}

/** Inputs of attention of every kind. */
interface Heads {
  /** Before their map and stacked [B, G, (H/G)·S, h], where an offset asks for them. */
  readonly unmapped: () => Value;
  /** In the channels of their map [B, G, (H/G)·S, h]. */
  readonly queries: Value;
  /** The same for keys [B, G, S, h], without their offset. */
  readonly keys: Value;
  /** [T, G·h], and [B, G, S, h] of such. */
  readonly values: Value;
  readonly ofHeads: (values: Value) => Value;
  /** They are taken out of keys [G, h], without and behind RoPE; null where nothing is. */
  readonly offset: Value | null;
  readonly constant: Value | null;
  readonly mask: { readonly scale: number; readonly rows: number; readonly window: number };
  /** From mixed values [B, G, (H/G)·S, h] to [T, H·h]. */
  readonly joined: (mixed: Value) => Value;
}

function headsOf(
  { q, k, v }: Projected,
  shape: LayerShape,
  tables: AttentionTables,
  observe: SiteObserver,
): Heads {
  const { batch, sequence } = shape;
  const { heads, kvHeads, headDim } = shape.config;
  const [repeats, { rowOfToken, tokenOfRow }] = [heads / kvHeads, tables];
  const ofTokens = (x: Value, dims: readonly number[]): Value =>
    splitHeads(rowOfToken ? gatherRows(x, rowOfToken) : x, dims);
  const rope = (x: Value, dims: readonly number[]): Value =>
    rotaryEmbedding(ofTokens(x, dims), tables.cos, tables.sin);
  const dims = [batch, sequence, kvHeads, headDim];
  const queries = rope(headNorm(q, tables.qNorm, shape), dims.toSpliced(3, 0, repeats));
  const keys = rope(withoutOffset(headNorm(k, tables.kNorm, shape), tables), dims);
  const offset = tables.keyOffset ? reshape(tables.keyOffset, [kvHeads, headDim]) : null;
  observe('query', joinHeads(queries));
  const constant = offset ? rotaryConstant(offset, keys, tables) : null;
  observe('key', joinHeads(keys), constant ? () => joinHeads(add(keys, constant)) : undefined);
  observe('value', v);
  const mappedKeys = mapHeads(keys, shape);
  const ofGroups = [batch, kvHeads, repeats * sequence, headDim];
  return {
    unmapped: () => reshape(queries, ofGroups),
    queries: reshape(mapHeads(queries, shape), ofGroups),
    keys: mappedKeys,
    values: v,
    ofHeads: (values) => ofTokens(values, dims),
    ...{ offset, constant },
    mask: { scale: 1 / Math.sqrt(headDim), rows: sequence, window: shape.window ?? 0 },
    joined(mixed) {
      const tokens = joinHeads(reshape(mixed, [batch, kvHeads, repeats, sequence, headDim]));
      return tokenOfRow ? gatherRows(tokens, tokenOfRow) : tokens;
    },
  };
}

/** The mixed values [T, H·h] where the cache holds codes. */
function packedMix(
  { unmapped, queries, keys, values, ofHeads, offset, mask, joined }: Heads,
  past: PackedPast,
  { quantizers }: LayerShape,
  tables: AttentionTables,
  { packed }: LayerWatchers,
): Value {
  const tokens = {
    keys: packCache(keys, quantizers.keys, 'keys'),
    values: packCache(ofHeads(values), quantizers.values, 'values'),
  };
  packed?.(tokens);
  const scores = offset && constantPart(unmapped(), offset, tables.positions ?? tables, mask.scale);
  return joined(packedAttention(queries, tokens, past, quantizers, mask, scores));
}

/** The same where it holds numbers, or where there is none. */
function mix(
  { queries, keys, values, ofHeads, constant, mask, joined }: Heads,
  shape: LayerShape,
  { past }: AttentionTables,
  { keep, cached, attends, round = roundedBy }: LayerWatchers,
): Value {
  const { quantizers } = shape;
  const mappedConstant = constant && mapHeads(constant, shape);
  const { keys: wholeKeys, values: wholeValues } = quantizers.wholeTokens ?? NO_WHOLE_TOKENS;
  const before = past?.length ?? null;
  const keysOf = (rounded: Value): Value => {
    const some = withWholeTokens(rounded, keys, wholeKeys, before);
    return mappedConstant ? add(some, mappedConstant) : some;
  };
  const valuesOf = (rounded: Value): Value =>
    withWholeTokens(ofHeads(rounded), ofHeads(values), wholeValues, before);
  const ownKeys = keysOf(round('key', keys, quantizers.keys));
  const ownValues = valuesOf(round('value', values, quantizers.values));
  if (past) {
    const found = cachedMix(queries, ownKeys, ownValues, past, mask);
    cached?.(found.keys, found.values);
    return joined(found.mixed);
  }
  attends?.({
    ...{ keys, values },
    mix: (k, v) => joined(causalAttention(queries, keysOf(k), valuesOf(v), mask)[0]),
  });
  const [mixed, logSum] = causalAttention(queries, ownKeys, ownValues, mask);
  keep('attentionOutput', mixed);
  keep('logSum', logSum);
  return joined(mixed);
}

/** Over tokens before and these, with keys and values of these as the cache holds them. */
function cachedMix(
  queries: Value,
  keys: Value,
  values: Value,
  past: PastTokens,
  mask: Heads['mask'],
): Readonly<Record<'mixed' | 'keys' | 'values', Value>> {
  if (past.keys.dtype === 'float16') return halfAttention(queries, keys, values, past, mask);
  return { mixed: cachedAttention(queries, keys, values, past, mask), keys, values };
}

const NO_WHOLE_TOKENS = { keys: 0, values: 0 } as const;

const roundedBy: NonNullable<LayerWatchers['round']> = (_, x, quantizer) => fakeQuantize(x, quantizer);

/** RoPE is linear: what is taken out of keys before it is gone behind it, turned. */
function withoutOffset(keys: Value, { keyOffset }: AttentionTables): Value {
  return keyOffset ? sub(keys, keyOffset) : keys;
}

/** Qwen3: RMSNorm with gain over each head's channels, before RoPE. */
export function headNorm(x: Value, gain: Value | null, shape: LayerShape): Value {
  if (!gain) return x;
  const { headDim, rmsNormEps } = shape.config;
  const rows = reshape(x, [(x.dim(0) * x.dim(1)) / headDim, headDim]);
  return reshape(mul(rmsNorm(rows, rmsNormEps), toReal(gain)), x.dims);
}

/** [B·S, heads·h] to [B, …heads, S, h]. */
function splitHeads(x: Value, dims: readonly number[]): Value {
  const perm = dims.length === 5 ? [0, 2, 3, 1, 4] : [0, 2, 1, 3];
  return transpose(reshape(x, dims), perm);
}

/** The inverse: [B, …heads, S, h] to [B·S, heads·h]. */
function joinHeads(x: Value): Value {
  const perm = x.rank === 5 ? [0, 3, 1, 2, 4] : [0, 2, 1, 3];
  const tokens = x.dim(0) * x.dim(-2);
  return reshape(transpose(x, perm), [tokens, elementCount(x.dims) / tokens]);
}

/** The map of queries and keys on the last axis, after RoPE. */
function mapHeads(x: Value, { maps }: LayerShape): Value {
  const map = maps['query-key'];
  return map?.kind === 'hadamard' ? hadamard(x, map.transform) : x;
}
