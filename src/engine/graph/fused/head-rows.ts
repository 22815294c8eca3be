/** Attention over codes reads what products give, and gives what products read, without copies between them. */
import { type Attributes, apply, intsAttribute, type Node, type Value } from '../graph.ts';
import type { Rewrite } from '../rebuild.ts';
import { Hadamard } from './hadamard.ts';
import { PackCache } from './pack-cache.ts';
import { PackedAttention } from './packed-attention.ts';
import { RotaryEmbedding } from './rotary.ts';
import { RotaryHeads } from './rotary-heads.ts';
import type { Uses } from './uses.ts';

/** [B, S, G, h] to [B, G, S, h], and with the query heads of a group. */
const SPLIT: readonly (readonly number[])[] = [
  [0, 2, 1, 3],
  [0, 2, 3, 1, 4],
];
/** [B, G, n, S, h] to [B, S, G, n, h]. */
const JOINED = '0,3,1,2,4';

/**
 * Puts the splitting of heads, RoPE and R3 into the packing of keys and values, and before attention into one operator;
 * and the joining of heads into attention. What is read elsewhere stays. Nodes that are left over go when the graph is
 * copied next.
 * @param uses of the graph that is rewritten.
 */
export function withHeadRows(uses: Uses): Rewrite {
  return (node, inputs) => {
    if (node.op === PackCache) return packedRows(node, inputs, uses);
    if (node.op === PackedAttention) return withQueryRows(node, inputs, uses);
    return node.op.name === 'Reshape' && node.op.domain === '' ? joinedHeads(node, inputs, uses) : null;
  };
}

/** Rows [B·S, heads·h] before a value, and their operators. */
interface FoundRows {
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  readonly hasRotary: boolean;
}

/** Follows a value of the source and its copy back through nodes that nothing else reads. */
class Walk {
  readonly #uses: Uses;
  #source: Value;
  copy: Value;

  constructor(source: Value, copy: Value, uses: Uses) {
    this.#source = source;
    this.copy = copy;
    this.#uses = uses;
  }

  /** The node of this kind that made the value, whose first input is next; null for others. */
  back(name: string, fits: (node: Node) => boolean = () => true): Node | null {
    const { node } = this.copy;
    const source = this.#source.node;
    if (!node || !source || node.op.name !== name || source.op.name !== name || !fits(node)) return null;
    if (this.#uses(this.#source) !== 1) return null;
    this.#source = source.inputs[0]!;
    this.copy = node.inputs[0]!;
    return node;
  }
}

function rowsBefore(walk: Walk): FoundRows | null {
  const blocks = walk.back(Hadamard.name);
  const rotary = walk.back(RotaryEmbedding.name, ({ attributes }) => attributes.inverse === 0);
  if (blocks && !rotary) return null;
  const isSplit = ({ attributes }: Node): boolean =>
    SPLIT.some((perm) => String(perm) === String(intsAttribute(attributes, 'perm')));
  if (!walk.back('Transpose', isSplit)) return null;
  const heads = walk.back('Reshape', ({ inputs }) => inputs[0]?.rank === 2);
  if (!heads) return null;
  const [sequences = 0, tokens = 0, ...rest] = heads.outputs[0]!.dims;
  const rows = walk.copy;
  // A row holds the heads of one token.
  const width = rest.at(-1)!;
  if (rows.dim(0) !== sequences * tokens || rows.dtype !== 'float32') return null;
  return {
    inputs: [rows, ...(rotary?.inputs.slice(1) ?? []), ...(blocks?.inputs.slice(1) ?? [])],
    attributes: { heads: rows.dim(1) / width, tokens, ...blocks?.attributes },
    hasRotary: rotary !== null,
  };
}

function packedRows(node: Node, [x]: readonly Value[], uses: Uses): Value[] | null {
  if (node.attributes.heads !== undefined) return null;
  const found = rowsBefore(new Walk(node.inputs[0]!, x!, uses));
  if (!found) return null;
  return x!.graph.apply(PackCache, found.inputs, { ...node.attributes, ...found.attributes });
}

/** Queries are stacked by a Reshape [B, G, n·S, h]. */
function withQueryRows(node: Node, [q, ...rest]: readonly Value[], uses: Uses): Value[] | null {
  const walk = new Walk(node.inputs[0]!, q!, uses);
  if (q!.rank !== 4 || !walk.back('Reshape')) return null;
  const found = rowsBefore(walk);
  if (!found?.hasRotary) return null;
  const rows = apply(RotaryHeads, found.inputs, { ...found.attributes, groups: q!.dim(1) });
  return [apply(PackedAttention, [rows, ...rest], node.attributes)];
}

function joinedHeads(node: Node, [x]: readonly Value[], uses: Uses): Value[] | null {
  const walk = new Walk(node.inputs[0]!, x!, uses);
  const isJoined = ({ attributes }: Node): boolean => String(intsAttribute(attributes, 'perm')) === JOINED;
  if (!walk.back('Transpose', isJoined) || !walk.back('Reshape')) return null;
  const attention = walk.copy.node;
  const made = walk.back(PackedAttention.name);
  if (!attention || !made || attention.outputs[0]!.rank !== 4) return null;
  return [apply(PackedAttention, attention.inputs, { ...attention.attributes, joined: 1 })];
}
