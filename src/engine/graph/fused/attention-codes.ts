import { type Attributes, apply, intAttribute, intsAttribute, type Node, type Value } from '../graph.ts';
import type { Rewrite } from '../rebuild.ts';
import { CausalAttention } from './causal-attention.ts';
import type { CacheForm, PackedTokens } from './pack-cache.ts';
import { PackCache } from './pack-cache.ts';
import { formAttributes, PackedAttention } from './packed-attention.ts';
import type { Uses } from './uses.ts';

/**
 * Attention of a whole text over rounded keys and values becomes attention over their codes, in front of which nothing is
 * cached. It gives no log of the softmax's sum, so what reads that stays.
 * @param uses of the graph that is rewritten.
 */
export function withAttentionCodes(uses: Uses): Rewrite {
  return (node, inputs) => {
    if (node.op !== CausalAttention || uses(node.outputs[1]) > 0) return null;
    const [q, k, v] = inputs as [Value, Value, Value];
    const [keys, values] = [packed(k, q.dim(-1), 'key'), packed(v, q.dim(-1), 'value')];
    if (!keys || !values || k.dim(-2) !== intAttribute(node.attributes, 'rows')) return null;
    const own = [keys, values].flatMap(({ tokens: { codes, scales } }) => [codes, scales]);
    const [mixed] = q.graph.apply(PackedAttention, [q, ...own, ...own, q.graph.ints([0])], {
      ...node.attributes,
      ...keys.attributes,
      ...values.attributes,
    });
    // The second output, which nothing reads, needs some value.
    return [mixed!, q];
  };
}

interface PackedRole {
  readonly tokens: PackedTokens;
  /** What attention must know of the codes. */
  readonly attributes: Attributes;
}

/** The codes of tokens [..., n, h] that a quantizer made of whole heads or parts of them; null for others. */
function packed(tokens: Value, width: number, role: 'key' | 'value'): PackedRole | null {
  const found = quantizerBehind(tokens);
  if (found?.node.op.name !== 'FakeQuantize') return null;
  const { attributes, inputs } = found.node;
  const group = intAttribute(attributes, 'group') || inputs[0]!.dim(-1);
  // Groups that lie in rows of every shape on the way are those of heads.
  if (![width, ...found.widths].every((rows) => rows % group === 0)) return null;
  const form: CacheForm = {
    bits: intAttribute(attributes, 'bits'),
    symmetric: intAttribute(attributes, 'symmetric') === 1,
    group,
  };
  const own = { ...attributes, group: group === width ? 0 : group, keys: role === 'key' ? 1 : 0 };
  const [codes, scales] = tokens.graph.apply(PackCache, [found.unrounded], own) as [Value, Value];
  return { tokens: { codes, scales }, attributes: formAttributes(form, role, width) };
}

interface FoundQuantizer {
  readonly node: Node;
  /** What the moves behind it make of what it quantizes. */
  readonly unrounded: Value;
  /** Rows of the shapes between. */
  readonly widths: readonly number[];
}

function quantizerBehind(value: Value): FoundQuantizer | null {
  const { node } = value;
  if (!node || value.rank < 2) return null;
  if (!isMove(node))
    return node.inputs.length === 1 ? { node, unrounded: node.inputs[0]!, widths: [value.dim(-1)] } : null;
  const behind = quantizerBehind(node.inputs[0]!);
  if (!behind) return null;
  const unrounded = apply(node.op, [behind.unrounded, ...node.inputs.slice(1)], node.attributes);
  return { node: behind.node, unrounded, widths: [...behind.widths, value.dim(-1)] };
}

/** True for what leaves rows of the last axis together, or lays them out in rows of another length. */
function isMove({ op, attributes, inputs }: Node): boolean {
  if (op.domain !== '') return false;
  if (op.name === 'Transpose') return intsAttribute(attributes, 'perm').at(-1) === inputs[0]!.rank - 1;
  return op.name === 'Reshape' || (op.name === 'Gather' && intAttribute(attributes, 'axis') === 0);
}
