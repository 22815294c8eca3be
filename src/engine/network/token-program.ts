import { tokenLoss } from '../graph/fused/token-loss.ts';
import { Graph, type Value } from '../graph/graph.ts';
import type { HostTensors, Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import { inlined } from '../graph/rebuild.ts';
import { type EndsShape, embeddingExpression, headExpression } from './ends-programs.ts';
import type { LayerTypes } from './layer-inputs.ts';
import { type LayerExpression, layerExpression, type NetworkMode, POSITION_NAMES } from './layer-programs.ts';
import type { LayerShape } from './layer-shape.ts';

/** All layers read these as they are. */
const SHARED: readonly string[] = ['cos', 'sin', 'length', ...Object.values(POSITION_NAMES)];

/** Name of an input or output of a layer in the program of the whole network. */
export const inLayer = (index: number, name: string): string =>
  SHARED.includes(name) ? name : `${index}.${name}`;

/** Everything that decides the program of the whole network for the next token of some sequences. */
export interface TokenSpec {
  readonly ends: EndsShape;
  readonly layers: readonly { readonly shape: LayerShape; readonly types: LayerTypes }[];
  readonly mode: NetworkMode;
}

/** @property logits [B, V]. @property loss [B]: −ln p of token 0, which makes ln Σ exp of the logits. */
export type TokenOutputs = { logits: Reals; loss: Reals } & HostTensors;

/**
 * ids int64 [B] with the caches before them → logits [B, V], the loss of token 0, and what the caches grow by. There is one
 * run instead of one for each layer: for a single token, starting a run takes longer than the products of a layer.
 */
export const TOKEN: ProgramKind<TokenSpec, TokenOutputs> = {
  name: 'token',
  spins: true,
  build({ ends, layers, mode }) {
    const graph = new Graph();
    const inputs = new Map<string, Value>();
    const input = (name: string, { dims, dtype }: Value): Value => {
      const known = inputs.get(name) ?? graph.input(name, dims, dtype);
      inputs.set(name, known);
      return known;
    };
    const embedding = embeddingExpression(ends);
    let { x } = inlined(graph, embedding.graph, { x: embedding.y }, input);
    const grown: Record<string, Value> = {};
    const built = new Map<string, LayerExpression>();
    for (const [index, { shape, types }] of layers.entries()) {
      // Layers of one shape are built once, and copied.
      const key = JSON.stringify([shape, types]);
      const layer = built.get(key) ?? layerExpression(shape, types, mode, false);
      built.set(key, layer);
      const added = Object.entries(layer.grown ?? {}).filter((entry): entry is [string, Value] => !!entry[1]);
      const outputs = { x: layer.y, ...Object.fromEntries(added) };
      const before = x!;
      const results = inlined(graph, layer.graph, outputs, (name, value) =>
        name === 'x' ? before : input(inLayer(index, name), value),
      );
      x = results.x;
      for (const [name] of added) grown[inLayer(index, name)] = results[name]!;
    }
    const head = headExpression(ends);
    const { logits } = inlined(graph, head.graph, { logits: head.y }, (name, value) =>
      name === 'x' ? x! : input(name, value),
    );
    const loss = tokenLoss(logits!, graph.ints(new Array<number>(ends.tokens).fill(0)));
    return { graph, outputs: { ...grown, logits: logits!, loss }, precision: ends.precision };
  },
};
