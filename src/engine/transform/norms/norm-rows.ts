/** Norms of a layer as scales behind them see them: what they hand on, and the weights that read it. */
import type { Linear, SeamName, Site } from '../../../protocol/block.ts';
import { recordOf } from '../../../protocol/records.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import { weightBases } from '../../network/linear-sites.ts';
import { mapsOfLayer, mapTensors } from '../../network/map-tensors.ts';
import type { Network } from '../../network/network.ts';
import { rotateWeight } from '../../network/rotated-linear.ts';
import { NO_MAPS, type SeamMaps, type SeamState } from '../../network/seams.ts';
import { IDENTITY, timesTransform } from '../../network/side-transform.ts';

interface Read {
  readonly site: Site;
  readonly readers: readonly Linear[];
}

/** Norms, with the site behind each and the weights that read it. */
const READ = {
  'attention-norm': { site: 'attention-input', readers: ['q', 'k', 'v'] },
  'mlp-norm': { site: 'mlp-input', readers: ['gate', 'up'] },
} as const satisfies Partial<Record<SeamName, Read>>;
export type Norm = keyof typeof READ;
export const NORMS = ['attention-norm', 'mlp-norm'] as const satisfies readonly Norm[];

/** A layer in the channels that quantizers see. */
export interface TurnedLayer {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

interface Turned {
  /** The plain network. */
  readonly network: Network;
  /** The maps so far, with their numbers. */
  readonly maps: SeamMaps;
  readonly state: SeamState;
}

export function turnedLayer({ network, maps, state }: Turned, layer: number, sequence: number) {
  const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence });
  const given = mapsOfLayer(mapTensors(maps, state, network.checkpoint.config), layer);
  return { spec: { shape: { ...shape, maps }, types }, tensors: { ...tensors, ...given } };
}

/** x → y of the plain layer, and of each norm what is made of its rows [m, d] in the channels of the residual's map. */
export function normRows({ shape, types }: TurnedLayer, made: (rows: Value) => Value) {
  const rows = new Map<string, Value>();
  const plain = { ...shape, maps: NO_MAPS };
  const { graph, y } = layerExpression(plain, types, 'plain', false, 'float32', (site, value) =>
    rows.set(site, value),
  );
  const residual = new LayerInputs(graph, shape, {}).map('residual');
  const outputs = recordOf(NORMS, (norm) => {
    const seen = rows.get(READ[norm].site);
    return seen ? made(timesTransform(seen, residual)) : null;
  });
  return { graph, outputs: { y, ...outputs } };
}

/** What is made of each weight [out, d] that reads a norm, its gain and the maps folded in, joined for the norm. */
export function normReaders(
  { shape, types }: TurnedLayer,
  made: (weight: Value) => Value,
  joined: (a: Value, b: Value) => Value,
) {
  const graph = new Graph();
  const inputs = new LayerInputs(graph, shape, types);
  const outputs = recordOf(NORMS, (norm) =>
    READ[norm].readers
      .map((linear) => made(rotateWeight(inputs.weight(linear), IDENTITY, weightBases(inputs, linear).right)))
      .reduce((all, one) => joined(all, one)),
  );
  return { graph, outputs };
}
