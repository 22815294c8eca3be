import type { Linear } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32 } from '../../protocol/tensor.ts';
import { addSecondMoment } from '../graph/fused/second-moment.ts';
import { Graph } from '../graph/graph.ts';
import { add } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';

/** Σ x xᵀ [n, n] over the rows that a linear layer reads. */
export class SecondMoment {
  readonly #cache: ProgramCache;
  readonly sum: Reals;
  /** Memory of the same size, free while nothing is added: for the widest layers there is no room for a third. */
  readonly spare: Reals;

  constructor(cache: ProgramCache, n: number) {
    this.#cache = cache;
    this.sum = float32([n, n], new Float32Array(n * n));
    this.spare = float32([n, n], new Float32Array(n * n));
  }

  async add(rows: Reals, signal?: AbortSignal): Promise<void> {
    const [tokens, n] = rows.dims as [number, number];
    const program = await this.#cache.get(ADDED_MOMENT, { tokens, n });
    await program.run({ rows, sum: this.sum }, signal, { next: this.sum, moment: this.spare });
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

/** Second moments are estimates from a sample: what products in two pieces are off by is far below their noise. */
const ESTIMATED = 'bfloat16x2';

/** `moment` is given where XᵀX is made apart from the sum. */
interface AddedMoment {
  readonly next: Reals;
  readonly moment?: Reals;
}

/**
 * sum + XᵀX [n, n] for rows X [tokens, n]. The result may be written over the sum, as both our operator and ONNX
 * Runtime's addition may. In tiles the whole product takes less time than half of it in float32.
 */
const ADDED_MOMENT: ProgramKind<{ readonly tokens: number; readonly n: number }, AddedMoment> = {
  name: 'second-moment',
  build({ tokens, n }, { ownKernels, bfloat16Products }) {
    const graph = new Graph();
    const [rows, sum] = [graph.input('rows', [tokens, n]), graph.input('sum', [n, n])];
    if (ownKernels && !bfloat16Products)
      return { graph, outputs: { next: addSecondMoment(rows, sum), moment: null } };
    const moment = gemm(rows, rows, { transA: true });
    return { graph, outputs: { next: add(sum, moment), moment }, precision: ESTIMATED };
  },
};
