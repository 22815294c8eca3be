import { float32 } from '../../protocol/tensor.ts';
import { Graph } from '../graph/graph.ts';
import { add, sub } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';

/**
 * How far what a linear layer reads has drifted from what it would read at full precision: Σ (x − x̂) x̂ᵀ [n, n], x the
 * rows of the full-precision network and x̂ those of the quantized one.
 */
export class Drift {
  readonly #cache: ProgramCache;
  sum: Reals;
  /** Memory of the same size, free while nothing is added. */
  spare: Reals;

  constructor(cache: ProgramCache, n: number) {
    this.#cache = cache;
    this.sum = float32([n, n], new Float32Array(n * n));
    this.spare = float32([n, n], new Float32Array(n * n));
  }

  /** @param exact, rows [tokens, n] of both networks for the same tokens. */
  async add(exact: Reals, rows: Reals, signal?: AbortSignal): Promise<void> {
    const [tokens, n] = rows.dims as [number, number];
    const program = await this.#cache.get(ADDED_DRIFT, { tokens, n });
    await program.run({ exact, rows, sum: this.sum }, signal, { next: this.spare });
    [this.sum, this.spare] = [this.spare, this.sum];
  }
}

/** A drift is an estimate from a sample: products in two pieces are off by far less than its noise. */
const ESTIMATED = 'bfloat16x2';

const ADDED_DRIFT: ProgramKind<{ readonly tokens: number; readonly n: number }, { readonly next: Reals }> = {
  name: 'drift',
  build({ tokens, n }) {
    const graph = new Graph();
    const [exact, rows] = [graph.input('exact', [tokens, n]), graph.input('rows', [tokens, n])];
    const more = gemm(sub(exact, rows), rows, { transA: true });
    return { graph, outputs: { next: add(graph.input('sum', [n, n]), more) }, precision: ESTIMATED };
  },
};
