import { float32 } from '../../protocol/tensor.ts';
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
    const program = await this.#cache.get(MOMENT, { tokens, n });
    await program.run({ rows }, signal, { moment: this.spare });
    const adding = await this.#cache.get(SUM, { n });
    await adding.run({ sum: this.sum, addend: this.spare }, signal, { next: this.sum });
  }
}

/** Second moments are estimates from a sample: what products in two pieces are off by is far below their noise. */
const ESTIMATED = 'bfloat16x2';

/** XᵀX [n, n] for rows X [tokens, n]. */
const MOMENT: ProgramKind<{ readonly tokens: number; readonly n: number }, { moment: Reals }> = {
  name: 'second-moment',
  build({ tokens, n }) {
    const graph = new Graph();
    const rows = graph.input('rows', [tokens, n]);
    return { graph, outputs: { moment: gemm(rows, rows, { transA: true }) }, precision: ESTIMATED };
  },
};

/** sum + addend [n, n]. The result may be written over the sum: ONNX Runtime itself adds in place. */
const SUM: ProgramKind<{ readonly n: number }, { next: Reals }> = {
  name: 'sum',
  build({ n }) {
    const graph = new Graph();
    return { graph, outputs: { next: add(graph.input('sum', [n, n]), graph.input('addend', [n, n])) } };
  },
};
