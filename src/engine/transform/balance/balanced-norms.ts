/** Balanced scales behind norms, in the channels of the residual's map. */
import type { Linear, Site } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { recordOf } from '../../../protocol/records.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { add, mul } from '../../graph/ops/elementwise.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import { weightBases } from '../../network/linear-sites.ts';
import { mapsOfLayer, mapTensors } from '../../network/map-tensors.ts';
import type { Network } from '../../network/network.ts';
import { rotateWeight } from '../../network/rotated-linear.ts';
import { NO_MAPS, type SeamMaps, type SeamState } from '../../network/seams.ts';
import { IDENTITY, timesTransform } from '../../network/side-transform.ts';
import { balancedScales } from './balanced-scales.ts';
import { sharesOf } from './channel-sizes.ts';

interface Read {
  readonly site: Site;
  readonly readers: readonly Linear[];
}

/** Norms, with the site behind each and the weights that read it. */
const READ = {
  'attention-norm': { site: 'attention-input', readers: ['q', 'k', 'v'] },
  'mlp-norm': { site: 'mlp-input', readers: ['gate', 'up'] },
} as const satisfies Record<string, Read>;
export const BALANCED_NORMS = ['attention-norm', 'mlp-norm'] as const;
type BalancedNorm = (typeof BALANCED_NORMS)[number];

interface NormTask {
  readonly cache: ProgramCache;
  /** The plain network. */
  readonly network: Network;
  /** Rotations with their numbers. */
  readonly maps: SeamMaps;
  readonly state: SeamState;
  readonly blocks: readonly Int32Array[];
}

/** Scales [d] of each layer, by norm. No transform spreads what is rounded here: each channel keeps its own error. */
export async function balancedNorms(
  task: NormTask,
  signal?: AbortSignal,
): Promise<Record<BalancedNorm, Float32Array[]>> {
  const { cache, network, blocks } = task;
  const { hiddenSize } = network.checkpoint.config;
  const zeros = () => recordOf(BALANCED_NORMS, () => new Float64Array(hiddenSize));
  const sums = Array.from({ length: network.layers }, zeros);
  for (const ids of blocks) {
    let x = await network.embed(ids, signal);
    for (const [layer, sum] of sums.entries()) {
      throwIfCancelled(signal);
      const { spec, tensors } = contextOf(task, layer, ids.length);
      const { y, ...shares } = await (await cache.get(NORM_SHARES, spec)).run({ ...tensors, x }, signal);
      for (const norm of BALANCED_NORMS)
        for (const [j, share] of shares[norm].data.entries()) sum[norm][j]! += share;
      x = y;
    }
  }
  const found: Record<BalancedNorm, Float32Array[]> = { 'attention-norm': [], 'mlp-norm': [] };
  for (const [layer, sum] of sums.entries()) {
    const { spec, tensors } = contextOf(task, layer, 1);
    const readers = await (await cache.get(NORM_READERS, spec)).run(tensors, signal);
    for (const norm of BALANCED_NORMS)
      found[norm].push(balancedScales(sum[norm], Float64Array.from(readers[norm].data), hiddenSize));
  }
  return found;
}

/** A layer in the channels that quantizers see. */
function contextOf({ network, maps, state }: NormTask, layer: number, sequence: number) {
  const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence });
  const given = mapsOfLayer(mapTensors(maps, state, network.checkpoint.config), layer);
  return { spec: { shape: { ...shape, maps }, types }, tensors: { ...tensors, ...given } };
}

interface Spec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** x → y of the plain layer, and x²/‖x‖² [d] of each norm's turned rows, summed over these. */
const NORM_SHARES: ProgramKind<Spec, { y: Reals } & Record<BalancedNorm, Reals>> = {
  name: 'balance-norms',
  build({ shape, types }) {
    const rows = new Map<string, Value>();
    const plain = { ...shape, maps: NO_MAPS };
    const { graph, y } = layerExpression(plain, types, 'plain', false, 'float32', (site, value) =>
      rows.set(site, value),
    );
    const residual = new LayerInputs(graph, shape, {}).map('residual');
    const shares = recordOf(BALANCED_NORMS, (norm) => {
      const seen = rows.get(READ[norm].site);
      return seen ? sharesOf(timesTransform(seen, residual), 1, seen.dim(1)) : null;
    });
    return { graph, outputs: { y, ...shares } };
  },
};

/** ‖w_j‖² [d] of the columns that read each channel, gain and map folded in. */
const NORM_READERS: ProgramKind<Spec, Record<BalancedNorm, Reals>> = {
  name: 'balance-norm-readers',
  build({ shape, types }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const outputs = recordOf(BALANCED_NORMS, (norm) => {
      const squares = READ[norm].readers.map((linear) => {
        const w = rotateWeight(inputs.weight(linear), IDENTITY, weightBases(inputs, linear).right);
        return reduceSum(mul(w, w), [0], false);
      });
      return squares.reduce((sum, one) => add(sum, one));
    });
    return { graph, outputs };
  },
};
