/** Attention in our operators: keys and values are rounded as in the network, and kept as codes where both are. */
import { toFloat32 } from '../../formats/tensor-io.ts';
import { float32, type Tensor } from '../../protocol/tensor.ts';
import { type ActivationQuantizer, quantizerAttributes } from '../graph/fused/fake-quantize.ts';
import type { CacheForm } from '../graph/fused/pack-cache.ts';
import { type CacheForms, formAttributes } from '../graph/fused/packed-attention.ts';
import { rowAttributes, tokenRowBytes } from '../graph/fused/token-rows.ts';
import type { Attributes } from '../graph/graph.ts';
import type { ModelConfig } from '../model/config.ts';
import { cacheFormsOf } from '../network/cache-form.ts';
import type { Network } from '../network/network.ts';
import { type KeyOffset, type OffsetPlace, scoreCoefficients, withoutBias } from './key-offset-nodes.ts';
import { type CacheRole, type CacheRows, type Projections, pastName, presentName } from './model-blocks.ts';
import type { ModelGraph } from './model-graph.ts';
import { ownHadamard, ownNode, ownNorm } from './native-nodes.ts';
import { rotaryTables } from './rotary-tables.ts';

/** Values that all layers read. */
export interface TokenPlaces {
  /** int64 [1]: tokens before these, and these. */
  readonly length: string;
  readonly count: string;
  /** Rotary tables of these tokens, float32 [sequence, h/2]. */
  readonly cos: string;
  readonly sin: string;
  /** Tables [positions, h] of cosines beside sines, where keys have an offset. */
  readonly both: string | null;
}

/** The lengths are those of the cache and of the ids: all sequences have as many tokens. */
export async function tokenPlaces(graph: ModelGraph, { checkpoint, options }: Network): Promise<TokenPlaces> {
  const axis = (name: string, x: string, start: number): string =>
    graph.node(name, 'Shape', [x], { attributes: { start, end: start + 1 } });
  const length = axis('tokens.past', pastName(0, 'key'), 2);
  const count = axis('tokens.now', 'input_ids', 1);
  const end = graph.node('tokens.all', 'Add', [length, count]);
  const tables = await rotaryTables(graph, checkpoint.config);
  const rows = (name: 'cos' | 'sin'): string =>
    graph.node(`tokens.${name}`, 'Slice', [tables[name], length, end, graph.ints([0])]);
  const both = (): string =>
    graph.node('tokens.table', 'Concat', [tables.cos, tables.sin], { attributes: { axis: 1 } });
  const hasOffset = options.quantizers.keyOffset !== undefined;
  return { length, count, cos: rows('cos'), sin: rows('sin'), both: hasOffset ? both() : null };
}

/** Rows of bytes, as wide for keys as for values, where both are codes; else numbers. */
export function cacheRowsOf({ checkpoint: { config }, options: { quantizers } }: Network): CacheRows {
  const forms = cacheFormsOf(quantizers);
  if (!forms) return { dtype: 'float32', width: config.headDim };
  const [keys, values] = [
    tokenRowBytes(config.headDim, forms.keys),
    tokenRowBytes(config.headDim, forms.values),
  ];
  return { dtype: 'int8', width: Math.max(keys, values) };
}

/** Stacked queries, keys and values in the channels of their maps. */
type Attended = Readonly<Record<'queries' | 'keys' | 'values', string>>;

/** Attention of one layer. */
export class NativeAttention {
  readonly #graph: ModelGraph;
  readonly #network: Network;
  readonly #places: TokenPlaces;
  readonly #layer: number;
  readonly #at: string;

  constructor(graph: ModelGraph, network: Network, places: TokenPlaces, layer: number) {
    this.#graph = graph;
    this.#network = network;
    this.#places = places;
    this.#layer = layer;
    this.#at = `layers.${layer}.attention`;
  }

  /** @returns the mixed values [batch, sequence, H·h]. */
  async nodes({ q, k, v, keyBias }: Projections): Promise<string> {
    const graph = this.#graph;
    const { heads, kvHeads, headDim } = this.#config;
    const repeats = heads / kvHeads;
    const { qNorm, kNorm } = this.#network.checkpoint.layer(this.#layer);
    const { both } = this.#places;
    const offset = both !== null && keyBias !== null ? { bias: keyBias, table: both } : null;
    const forms = cacheFormsOf(this.#network.quantizers(this.#layer));
    const turnedQueries = await this.#turned('q', q, qNorm, [kvHeads, repeats]);
    // Behind a norm of heads there is a mean, before RoPE as a bias is.
    const rest = offset && !kNorm ? withoutBias(this.#place, k, offset) : k;
    const taken = kNorm ? offset : null;
    const keys = await this.#mapped('k', await this.#turned('k', rest, kNorm, [kvHeads], taken));
    const stack = (name: string, x: string): string =>
      graph.node(`${this.#at}.${name}`, 'Reshape', [x, graph.ints([0, 0, -1, headDim])]);
    const queries = stack('stacked', await this.#mapped('q', turnedQueries));
    const values = this.#split('v', v, [kvHeads]);
    let mixed: string;
    if (forms) {
      const scored =
        offset && (await scoreCoefficients(this.#place, stack('unmapped', turnedQueries), offset));
      mixed = this.#packed({ queries, keys, values, scored }, forms);
    } else {
      const whole = offset && (await this.#mapped('whole', await this.#turned('whole', k, kNorm, [kvHeads])));
      mixed = this.#plain({ queries, keys, values, whole });
    }
    const split = graph.node(`${this.#at}.split`, 'Reshape', [
      mixed,
      graph.ints([0, 0, repeats, -1, headDim]),
    ]);
    const ordered = graph.node(`${this.#at}.ordered`, 'Transpose', [split], {
      attributes: { perm: [0, 3, 1, 2, 4] },
    });
    return graph.node(this.#at, 'Reshape', [ordered, graph.ints([0, 0, heads * headDim])]);
  }

  get #config(): ModelConfig {
    return this.#network.checkpoint.config;
  }

  /** [batch, sequence, heads·h] as [batch, …heads, sequence, h]. */
  #split(name: string, x: string, heads: readonly number[]): string {
    const graph = this.#graph;
    const shape = graph.ints([0, 0, ...heads, this.#config.headDim]);
    const parts = graph.node(`${this.#at}.${name}.heads`, 'Reshape', [x, shape]);
    return this.#transposed(name, parts, heads);
  }

  #transposed(name: string, parts: string, heads: readonly number[]): string {
    const perm = heads.length === 2 ? [0, 2, 3, 1, 4] : [0, 2, 1, 3];
    return this.#graph.node(`${this.#at}.${name}.tokens`, 'Transpose', [parts], { attributes: { perm } });
  }

  /** Queries or keys by heads, normalised where the model does so, turned by position. */
  async #turned(
    name: string,
    x: string,
    gain: Tensor | undefined,
    heads: readonly number[],
    taken: KeyOffset | null = null,
  ): Promise<string> {
    const graph = this.#graph;
    const { headDim, rmsNormEps } = this.#config;
    const at = `${this.#at}.${name}`;
    let parts = graph.node(`${at}.heads`, 'Reshape', [x, graph.ints([0, 0, ...heads, headDim])]);
    if (gain) {
      const weight = await graph.tensor(`${at}.gain`, float32([headDim], toFloat32(gain)));
      parts = graph.node(`${at}.scaled`, 'Mul', [ownNorm(graph, `${at}.norm`, parts, rmsNormEps), weight]);
    }
    if (taken) {
      const row = graph.node(`${at}.taken`, 'Reshape', [taken.bias, graph.ints([...heads, headDim])]);
      parts = graph.node(`${at}.rest`, 'Sub', [parts, row]);
    }
    const { cos, sin } = this.#places;
    const inputs = [this.#transposed(name, parts, heads), cos, sin];
    return ownNode(graph, `${at}.rotary`, 'RotaryEmbedding', inputs, { inverse: 0 });
  }

  /** In the channels of the map behind RoPE. */
  async #mapped(name: string, turned: string): Promise<string> {
    const map = this.#network.options.maps['query-key'];
    if (map?.kind !== 'hadamard') return turned;
    return ownHadamard(this.#graph, `${this.#at}.${name}.map`, turned, map.transform);
  }

  get #place(): OffsetPlace {
    return { graph: this.#graph, at: this.#at, config: this.#config };
  }

  get #mask(): Attributes {
    const { heads, kvHeads, headDim, layerWindows } = this.#config;
    const window = layerWindows[this.#layer] ?? 0;
    return { scale: { float: 1 / Math.sqrt(headDim) }, repeats: heads / kvHeads, window };
  }

  /** Over numbers, of which one of keys and values may be rounded. @param whole keys with their offset; null for none. */
  #plain({ queries, keys, values, whole }: Attended & { readonly whole: string | null }): string {
    const graph = this.#graph;
    const quantizers = this.#network.quantizers(this.#layer);
    const grown = (role: CacheRole, x: string, quantizer: ActivationQuantizer, back: string | null) => {
      const codes = this.#rounded(`${this.#at}.${role}.rounded`, x, quantizer);
      const rounded = back ? graph.node(`${this.#at}.${role}.again`, 'Add', [codes, back]) : codes;
      const past = pastName(this.#layer, role);
      graph.node(presentName(this.#layer, role), 'Concat', [past, rounded], { attributes: { axis: 2 } });
      return [rounded, past] as const;
    };
    const offset = whole && graph.node(`${this.#at}.k.offset`, 'Sub', [whole, keys]);
    const [ownKeys, pastKeys] = grown('key', keys, quantizers.keys, offset);
    const [ownValues, pastValues] = grown('value', values, quantizers.values, null);
    const inputs = [queries, ownKeys, ownValues, pastKeys, pastValues, this.#places.length];
    return ownNode(graph, `${this.#at}.mixed`, 'CachedAttention', inputs, this.#mask);
  }

  #rounded(name: string, x: string, quantizer: ActivationQuantizer): string {
    if (quantizer.bits >= 16) return x;
    const group = quantizer.group === this.#config.headDim ? 0 : quantizer.group;
    return ownNode(this.#graph, name, 'FakeQuantize', [x], quantizerAttributes(quantizer, group));
  }

  /** Over codes. @param scored coefficients of the table that come into the scores; null for none. */
  #packed(
    { queries, keys, values, scored }: Attended & { readonly scored: string | null },
    forms: CacheForms,
  ): string {
    const { headDim } = this.#config;
    const quantizers = this.#network.quantizers(this.#layer);
    const [own, past] = [
      [
        ...this.#packedTokens('key', keys, quantizers.keys),
        ...this.#packedTokens('value', values, quantizers.values),
      ],
      [...this.#pastBlocks('key', forms.keys), ...this.#pastBlocks('value', forms.values)],
    ];
    this.#appended('key', own.slice(0, 2), forms.keys);
    this.#appended('value', own.slice(2), forms.values);
    const table = scored === null ? [] : [scored, this.#places.both!];
    const inputs = [queries, ...own, ...past, this.#places.length, ...table];
    const attributes = {
      ...this.#mask,
      ...formAttributes(forms.keys, 'key', headDim),
      ...formAttributes(forms.values, 'value', headDim),
    };
    return ownNode(this.#graph, `${this.#at}.mixed`, 'PackedAttention', inputs, attributes);
  }

  /** Codes and scales of these tokens. */
  #packedTokens(role: CacheRole, x: string, quantizer: ActivationQuantizer): string[] {
    const group = quantizer.group === this.#config.headDim ? 0 : quantizer.group;
    const attributes = { ...quantizerAttributes(quantizer, group), keys: role === 'key' ? 1 : 0 };
    const name = `${this.#at}.${role}.codes`;
    const scales = `${this.#at}.${role}.scales`;
    return [ownNode(this.#graph, name, 'PackCache', [x], attributes, [scales]), scales];
  }

  /** Codes and scales of the tokens before these. */
  #pastBlocks(role: CacheRole, form: CacheForm): string[] {
    const name = `${this.#at}.${role}.past`;
    const scales = `${name}-scales`;
    const attributes = rowAttributes(this.#config.headDim, form, `${role}s`);
    const past = pastName(this.#layer, role);
    return [ownNode(this.#graph, name, 'TokenBlocks', [past], attributes, [scales]), scales];
  }

  #appended(role: CacheRole, own: readonly string[], form: CacheForm): void {
    const inputs = [pastName(this.#layer, role), ...own, this.#places.count];
    const attributes = rowAttributes(this.#config.headDim, form, `${role}s`);
    ownNode(this.#graph, presentName(this.#layer, role), 'AppendTokens', inputs, attributes);
  }
}
