import { float32, type HostTensor } from '../../../protocol/tensor.ts';
import { latticeRound } from '../../graph/fused/lattice-round.ts';
import { Graph } from '../../graph/graph.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { BLOCK } from './e8p.ts';
import { type LatticeBits, type LatticePoints, type LatticeTask, latticeInLoops } from './round-in-loops.ts';

/** Rounds by the native operator, or in loops without it: the points are the same. See {@link latticeInLoops}. */
export async function roundToLattice(
  cache: ProgramCache,
  task: LatticeTask,
  signal?: AbortSignal,
): Promise<LatticePoints> {
  if (!cache.abilities.ownKernels) return latticeInLoops(task, signal);
  const { rows, columns, bits, sweeps, w, feedback, gain } = task;
  const program = await cache.get(LATTICE_ROUND, { rows, columns, bits, sweeps });
  const panels = [columns / BLOCK, columns, BLOCK];
  const tensors = {
    w: float32([rows, columns], w),
    feedback: float32(panels, feedback),
    gain: float32(panels, gain),
  };
  const { first, second } = await program.run(tensors, signal);
  return { first: first.data, second: second.data };
}

interface LatticeSpec {
  readonly rows: number;
  readonly columns: number;
  readonly bits: LatticeBits;
  readonly sweeps: number;
}

const LATTICE_ROUND: ProgramKind<LatticeSpec, Record<'first' | 'second', HostTensor<Int8Array>>> = {
  name: 'lattice-round',
  build({ rows, columns, bits, sweeps }) {
    const graph = new Graph();
    const panels = [columns / BLOCK, columns, BLOCK];
    const w = graph.input('w', [rows, columns]);
    const [feedback, gain] = [graph.input('feedback', panels), graph.input('gain', panels)];
    return { graph, outputs: latticeRound({ w, feedback, gain }, bits, sweeps) };
  },
};
