/** Cases of twins.test.ts: attention over a cache of numbers with seven tokens. */
import { cachedAttention } from '../../src/engine/graph/fused/cached-attention.ts';
import type { CausalMask } from '../../src/engine/graph/fused/causal-attention.ts';
import { type HalfAttended, halfAttention } from '../../src/engine/graph/fused/half-attention.ts';
import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import { scale } from '../../src/engine/graph/ops/elementwise.ts';
import { cast, concat, toReal } from '../../src/engine/graph/ops/shape.ts';
import type { Twin } from './twin.ts';

type Inputs = readonly [q: Value, k: Value, v: Value, keys: Value, values: Value];

const inputsOf = (inputs: Value[]): Inputs => inputs as unknown as Inputs;

function decoded(graph: Graph, inputs: Value[], mask: CausalMask): Value {
  const [q, k, v, keys, values] = inputsOf(inputs);
  return cachedAttention(q, k, v, { keys, values, length: graph.ints([7]) }, mask);
}

/** Halves of the cache are made of its numbers. */
function halfDecoded(graph: Graph, [q, k, v, keys, values]: Inputs, mask: CausalMask): HalfAttended {
  const past = { keys: cast(keys, 'float16'), values: cast(values, 'float16'), length: graph.ints([7]) };
  return halfAttention(q, k, v, past, mask);
}

const dims = (lead: readonly number[], repeats: number, width: number): number[][] =>
  [repeats * 3, 3, 3, 11, 11].map((tokens) => [...lead, tokens, width]);

const [WHOLE, WINDOW] = [
  { scale: 0.5, rows: 3, window: 0 },
  { scale: 0.5, rows: 3, window: 4 },
];

export const CACHED_ATTENTION_TWINS: Readonly<Record<string, Twin>> = {
  CachedAttention: {
    dims: dims([2], 2, 8),
    build: (g, inputs) => decoded(g, inputs, WHOLE),
    roundings: 64,
    forwardOnly: true,
  },
  'CachedAttention, window, odd width': {
    dims: dims([2, 3], 2, 5),
    build: (g, inputs) => decoded(g, inputs, WINDOW),
    roundings: 64,
    forwardOnly: true,
  },
  HalfAttention: {
    dims: dims([2], 2, 8),
    build: (g, inputs) => halfDecoded(g, inputsOf(inputs), WHOLE).mixed,
    roundings: 64,
    forwardOnly: true,
  },
  'HalfAttention, window, odd width': {
    dims: dims([2, 3], 2, 5),
    build: (g, inputs) => halfDecoded(g, inputsOf(inputs), WINDOW).mixed,
    roundings: 64,
    forwardOnly: true,
  },
  'HalfAttention, what the cache grows by': {
    dims: dims([2], 1, 7),
    build(g, inputs) {
      const [q, k, ...rest] = inputsOf(inputs);
      // Beyond the range of halves, too.
      const grown = halfDecoded(g, [q, scale(k, 7e4), ...rest], WHOLE);
      return concat([toReal(grown.keys), toReal(grown.values)], 0);
    },
    roundings: 0,
    forwardOnly: true,
  },
};
