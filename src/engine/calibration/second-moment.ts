import type { Linear } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32 } from '../../protocol/tensor.ts';
import type { Ranks } from '../distributed/ranks.ts';
import { addSecondMoment } from '../graph/fused/second-moment.ts';
import { Graph } from '../graph/graph.ts';
import { add } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import { Drift } from './drift.ts';

const NO_DRIFTS = { rows: false, residual: null };

/** Σ x xᵀ [n, n] over the rows that a linear layer reads. */
export class SecondMoment {
  readonly #cache: ProgramCache;
  readonly sum: Reals;
  /** Memory of the same size, free while nothing is added: for the widest layers there is no room for a third. */
  readonly spare: Reals;
  /** How far the rows have drifted from those at full precision; null where nobody looks at that. */
  readonly drift: Drift | null;
  /** How far the residual has drifted that the layer writes to; null where nobody looks at that. */
  readonly residualDrift: Drift | null;

  /** @param drifts what is looked at beside the rows; `residual` is its width. */
  constructor(
    cache: ProgramCache,
    n: number,
    drifts: { readonly rows: boolean; readonly residual: number | null } = NO_DRIFTS,
  ) {
    this.#cache = cache;
    this.drift = drifts.rows ? new Drift(cache, n) : null;
    this.residualDrift = drifts.residual === null ? null : new Drift(cache, n, drifts.residual);
    this.sum = float32([n, n], new Float32Array(n * n));
    this.spare = float32([n, n], new Float32Array(n * n));
  }

  async add(rows: Reals, signal?: AbortSignal): Promise<void> {
    const [tokens, n] = rows.dims as [number, number];
    const program = await this.#cache.get(ADDED_MOMENT, { tokens, n });
    await program.run({ rows, sum: this.sum }, signal, { next: this.sum, moment: this.spare });
  }

  /**
   * Sums what the ranks have added, each of its part of the text. A matrix that is its own transpose is sent as its lower
   * half: n (n + 1) / 2 numbers, which fit into the spare memory.
   */
  async sumOver(ranks: Ranks): Promise<void> {
    if (ranks.size === 1) return;
    const [n = 0] = this.sum.dims;
    const [matrix, half] = [this.sum.data, this.spare.data.subarray(0, (n * (n + 1)) / 2)];
    for (let i = 0, at = 0; i < n; at += ++i) half.set(matrix.subarray(i * n, i * n + i + 1), at);
    await ranks.sum(half);
    for (let i = 0, at = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) matrix[i * n + j] = matrix[j * n + i] = half[at++]!;
    }
    await this.drift?.sumOver(ranks);
    await this.residualDrift?.sumOver(ranks);
  }

  /** @throws UserError where the text makes the network overflow. @param linears that read the rows. */
  requireFinite(layer: number, linears: readonly Linear[]): void {
    const [n = 0] = this.sum.dims;
    for (let i = 0; i < n; i++) {
      if (!Number.isFinite(this.sum.data[i * n + i])) {
        throw new UserError(
          'rounding/not-finite',
          `What ${linears.join(', ')} of layer ${layer} read is not finite on the calibration text.`,
          'The network overflows there: check the checkpoint, or use another calibration text.',
        );
      }
    }
  }
}

/** `moment` is given where XᵀX is made apart from the sum. */
interface AddedMoment {
  readonly next: Reals;
  readonly moment?: Reals;
}

/**
 * sum + XᵀX [n, n] for rows X [tokens, n]. The result may be written over the sum, as both our operator and ONNX
 * Runtime's addition may. Second moments are estimates from a sample: that x is rounded to bfloat16, as a network is that
 * computes in it, is far below their noise.
 */
const ADDED_MOMENT: ProgramKind<{ readonly tokens: number; readonly n: number }, AddedMoment> = {
  name: 'second-moment',
  build({ tokens, n }, { ownKernels }) {
    const graph = new Graph();
    const [rows, sum] = [graph.input('rows', [tokens, n]), graph.input('sum', [n, n])];
    if (ownKernels) return { graph, outputs: { next: addSecondMoment(rows, sum, 1), moment: null } };
    const moment = gemm(rows, rows, { transA: true });
    return { graph, outputs: { next: add(sum, moment), moment } };
  },
};
