/** Balanced scales behind norms, in the channels of the residual's map. */
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { recordOf } from '../../../protocol/records.ts';
import { add, mul } from '../../graph/ops/elementwise.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import type { SeamMaps, SeamState } from '../../network/seams.ts';
import {
  NORMS,
  type Norm,
  normReaders,
  normRows,
  type TurnedLayer,
  turnedLayer,
} from '../norms/norm-rows.ts';
import { balancedScales } from './balanced-scales.ts';
import { sharesOf } from './channel-sizes.ts';

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
): Promise<Record<Norm, Float32Array[]>> {
  const { cache, network, blocks } = task;
  const { hiddenSize } = network.checkpoint.config;
  const zeros = () => recordOf(NORMS, () => new Float64Array(hiddenSize));
  const sums = Array.from({ length: network.layers }, zeros);
  for (const ids of blocks) {
    let x = await network.embed(ids, signal);
    for (const [layer, sum] of sums.entries()) {
      throwIfCancelled(signal);
      const { spec, tensors } = turnedLayer(task, layer, ids.length);
      const { y, ...shares } = await (await cache.get(NORM_SHARES, spec)).run({ ...tensors, x }, signal);
      for (const norm of NORMS) for (const [j, share] of shares[norm].data.entries()) sum[norm][j]! += share;
      x = y;
    }
  }
  const found: Record<Norm, Float32Array[]> = { 'attention-norm': [], 'mlp-norm': [] };
  for (const [layer, sum] of sums.entries()) {
    const { spec, tensors } = turnedLayer(task, layer, 1);
    const readers = await (await cache.get(NORM_READERS, spec)).run(tensors, signal);
    for (const norm of NORMS)
      found[norm].push(balancedScales(sum[norm], Float64Array.from(readers[norm].data), hiddenSize));
  }
  return found;
}

/** x → y of the plain layer, and x²/‖x‖² [d] of each norm's turned rows, summed over these. */
const NORM_SHARES: ProgramKind<TurnedLayer, { y: Reals } & Record<Norm, Reals>> = {
  name: 'balance-norms',
  build: (layer) => normRows(layer, (rows) => sharesOf(rows, 1, rows.dim(1))),
};

/** ‖w_j‖² [d] of the columns that read each channel. */
const NORM_READERS: ProgramKind<TurnedLayer, Record<Norm, Reals>> = {
  name: 'balance-norm-readers',
  build: (layer) => normReaders(layer, (w) => reduceSum(mul(w, w), [0], false), add),
};
