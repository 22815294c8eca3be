import { float32 } from '../../protocol/tensor.ts';
import type { Ranks } from '../distributed/ranks.ts';
import { Graph } from '../graph/graph.ts';
import { add, sub } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';

/** A drift [m, n] that is summed, and memory of its size. */
export type DriftSums = Pick<Drift, 'sum' | 'spare'>;

/**
 * How far rows of the quantized network have drifted from those of the full-precision one, as what a linear layer reads
 * can tell: Σ (a − â) x̂ᵀ [m, n] over tokens, a and â rows [m] of the two networks, x̂ the rows [n] that the layer reads.
 * The rows are what the layer reads itself, or the residual that it writes to.
 */
export class Drift {
  readonly #cache: ProgramCache;
  sum: Reals;
  /** Memory of the same size, free while nothing is added. */
  spare: Reals;

  constructor(cache: ProgramCache, n: number, m = n) {
    this.#cache = cache;
    this.sum = float32([m, n], new Float32Array(m * n));
    this.spare = float32([m, n], new Float32Array(m * n));
  }

  /**
   * @param exact, own rows [tokens, m] of the full-precision network and of the quantized one.
   * @param read rows [tokens, n] of the quantized one; they may be `own`.
   */
  async add(
    { exact, own, read }: { readonly exact: Reals; readonly own: Reals; readonly read: Reals },
    signal?: AbortSignal,
  ): Promise<void> {
    const [tokens, n] = read.dims as [number, number];
    const m = own === read ? null : (own.dims[1] ?? 0);
    const program = await this.#cache.get(ADDED_DRIFT, { tokens, n, m });
    const rows = m === null ? { exact, read } : { exact, own, read };
    await program.run({ ...rows, sum: this.sum }, signal, { next: this.spare });
    [this.sum, this.spare] = [this.spare, this.sum];
  }

  /** Sums what the ranks have added, each of its part of the text. */
  sumOver(ranks: Ranks): Promise<void> {
    return ranks.sum(this.sum.data);
  }
}

/** A drift is an estimate from a sample: products in two pieces are off by far less than its noise. */
const ESTIMATED = 'bfloat16x2';

interface DriftSpec {
  readonly tokens: number;
  readonly n: number;
  /** Null where the rows that drift are those that are read. */
  readonly m: number | null;
}

const ADDED_DRIFT: ProgramKind<DriftSpec, { readonly next: Reals }> = {
  name: 'drift',
  build({ tokens, n, m }) {
    const graph = new Graph();
    const width = m ?? n;
    const [exact, read] = [graph.input('exact', [tokens, width]), graph.input('read', [tokens, n])];
    const own = m === null ? read : graph.input('own', [tokens, m]);
    const more = gemm(sub(exact, own), read, { transA: true });
    return { graph, outputs: { next: add(graph.input('sum', [width, n]), more) }, precision: ESTIMATED };
  },
};
