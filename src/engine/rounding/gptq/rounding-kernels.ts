import { float32, type HostTensor, int64 } from '../../../protocol/tensor.ts';
import { gptqRound, reverseCholesky } from '../../graph/fused/gptq.ts';
import { Graph } from '../../graph/graph.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { factorInLoops } from './factor-in-loops.ts';
import { type RowsToRound, roundInLoops } from './round-in-loops.ts';

/** The two steps of GPTQ that no standard operator has: our native operators, or loops without them. */
export class RoundingKernels {
  readonly #cache: ProgramCache;

  constructor(cache: ProgramCache) {
    this.#cache = cache;
  }

  /** T [n, n], written into the memory given. See {@link factorInLoops}. */
  async factor(
    h: HostTensor<Float32Array>,
    damping: number,
    into: HostTensor<Float32Array>,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const [n = 0] = h.dims;
    if (!this.#cache.abilities.ownKernels) {
      await factorInLoops(h.data, n, damping, into.data, signal);
      return into.data;
    }
    const program = await this.#cache.get(REVERSE_CHOLESKY, { n, damping });
    return (await program.run({ h }, signal, { t: into })).t.data;
  }

  /** Codes [rows, columns]. See {@link roundInLoops}. */
  async round(weights: RowsToRound, t: Float32Array, signal?: AbortSignal): Promise<Int8Array> {
    if (!this.#cache.abilities.ownKernels) return roundInLoops(weights, t, signal);
    const { rows, columns, bits } = weights;
    const groups = weights.scale.length / rows;
    const ordered = weights.order != null;
    const program = await this.#cache.get(GPTQ_ROUND, {
      rows,
      columns,
      groups,
      bits,
      ...(ordered && { ordered }),
    });
    const grid = [rows, groups];
    const tensors = {
      w: float32([rows, columns], weights.w),
      t: float32([columns, columns], t),
      scale: float32(grid, weights.scale),
      zero: float32(grid, weights.zero),
      ...(weights.order && { order: int64([columns], BigInt64Array.from(weights.order, BigInt)) }),
    };
    return (await program.run(tensors, signal)).codes.data;
  }
}

const REVERSE_CHOLESKY: ProgramKind<{ readonly n: number; readonly damping: number }, { t: Reals }> = {
  name: 'reverse-cholesky',
  build({ n, damping }) {
    const graph = new Graph();
    return { graph, outputs: { t: reverseCholesky(graph.input('h', [n, n]), damping) } };
  },
};

interface RoundSpec {
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  readonly bits: number;
  readonly ordered?: boolean;
}

const GPTQ_ROUND: ProgramKind<RoundSpec, { codes: HostTensor<Int8Array> }> = {
  name: 'gptq-round',
  build({ rows, columns, groups, bits, ordered }) {
    const graph = new Graph();
    const [w, t] = [graph.input('w', [rows, columns]), graph.input('t', [columns, columns])];
    const [scale, zero] = [graph.input('scale', [rows, groups]), graph.input('zero', [rows, groups])];
    const order = ordered ? graph.input('order', [columns], 'int64') : null;
    return { graph, outputs: { codes: gptqRound(w, t, scale, zero, bits, order) } };
  },
};
