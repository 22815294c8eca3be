import { float32, type HostTensor, int64 } from '../../../protocol/tensor.ts';
import { gptqRound, gptqSweep } from '../../graph/fused/gptq.ts';
import { Graph } from '../../graph/graph.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { type RowsToRound, roundInLoops } from './round-in-loops.ts';
import { type RowsToSweep, sweepInLoops } from './sweep-in-loops.ts';

/** The rounding of GPTQ, which no standard operator has: our native operators, or loops without them. */
export class RoundingKernels {
  readonly #cache: ProgramCache;

  constructor(cache: ProgramCache) {
    this.#cache = cache;
  }

  /** Codes [rows, columns]. See {@link roundInLoops}. */
  async round(weights: RowsToRound, t: Float32Array, signal?: AbortSignal): Promise<Int8Array> {
    if (!this.#cache.abilities.ownKernels) return roundInLoops(weights, t, signal);
    const { rows, columns, bits, drift, beta } = weights;
    const groups = weights.scale.length / rows;
    const order = weights.order ?? (drift ? Int32Array.from({ length: columns }, (_, j) => j) : null);
    const program = await this.#cache.get(GPTQ_ROUND, {
      ...{ rows, columns, groups, bits },
      ...(order && { ordered: true }),
      ...(drift && { drifts: true }),
      ...(beta && { beta }),
    });
    const grid = [rows, groups];
    const tensors = {
      w: float32([rows, columns], weights.w),
      t: float32([columns, columns], t),
      scale: float32(grid, weights.scale),
      zero: float32(grid, weights.zero),
      ...(order && { order: int64([columns], BigInt64Array.from(order, BigInt)) }),
      ...(drift && { drift: float32([columns, columns], drift) }),
    };
    return (await program.run(tensors, signal)).codes.data;
  }

  /** Codes [rows, columns]. See {@link sweepInLoops}. */
  async sweep(weights: RowsToSweep, signal?: AbortSignal): Promise<Int8Array> {
    if (!this.#cache.abilities.ownKernels) return sweepInLoops(weights, signal);
    const { rows, columns, bits, sweeps, damping } = weights;
    const groups = weights.scale.length / rows;
    const program = await this.#cache.get(GPTQ_SWEEP, { rows, columns, groups, bits, sweeps, damping });
    const given: HostTensor<Int8Array> = {
      kind: 'host',
      dtype: 'int8',
      dims: [rows, columns],
      data: weights.codes,
    };
    const tensors = {
      given,
      w: float32([rows, columns], weights.w),
      h: float32([columns, columns], weights.h),
      scale: float32([rows, groups], weights.scale),
      zero: float32([rows, groups], weights.zero),
    };
    return (await program.run(tensors, signal)).codes.data;
  }
}

interface GridSpec {
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  readonly bits: number;
}

interface RoundSpec extends GridSpec {
  readonly ordered?: boolean;
  /** Goes with an order. */
  readonly drifts?: boolean;
  readonly beta?: number;
}

const GPTQ_ROUND: ProgramKind<RoundSpec, { codes: HostTensor<Int8Array> }> = {
  name: 'gptq-round',
  build({ rows, columns, groups, bits, ordered, drifts, beta }) {
    const graph = new Graph();
    const [w, t] = [graph.input('w', [rows, columns]), graph.input('t', [columns, columns])];
    const [scale, zero] = [graph.input('scale', [rows, groups]), graph.input('zero', [rows, groups])];
    const order = ordered ? graph.input('order', [columns], 'int64') : null;
    const drift = drifts ? graph.input('drift', [columns, columns]) : null;
    return { graph, outputs: { codes: gptqRound({ w, t, scale, zero, order, drift }, bits, beta) } };
  },
};

interface SweepSpec extends GridSpec {
  readonly sweeps: number;
  readonly damping: number;
}

const GPTQ_SWEEP: ProgramKind<SweepSpec, { codes: HostTensor<Int8Array> }> = {
  name: 'gptq-sweep',
  build({ rows, columns, groups, ...settings }) {
    const graph = new Graph();
    const [w, h] = [graph.input('w', [rows, columns]), graph.input('h', [columns, columns])];
    const codes = graph.input('given', [rows, columns], 'int8');
    const [scale, zero] = [graph.input('scale', [rows, groups]), graph.input('zero', [rows, groups])];
    return { graph, outputs: { codes: gptqSweep({ w, h, codes, scale, zero }, settings) } };
  },
};
