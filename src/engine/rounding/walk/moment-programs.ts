import { Graph } from '../../graph/graph.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';

/** Second moments are estimates from a sample: what products in two pieces are off by is far below their noise. */
const ESTIMATED = 'bfloat16x2';

/** XᵀX [n, n] for rows X [tokens, n]. */
export const MOMENT: ProgramKind<{ readonly tokens: number; readonly n: number }, { moment: Reals }> = {
  name: 'second-moment',
  build({ tokens, n }) {
    const graph = new Graph();
    const rows = graph.input('rows', [tokens, n]);
    return { graph, outputs: { moment: gemm(rows, rows, { transA: true }) }, precision: ESTIMATED };
  },
};

/** sum + addend [n, n]. The result may be written over the sum: ONNX Runtime itself adds in place. */
export const SUM: ProgramKind<{ readonly n: number }, { next: Reals }> = {
  name: 'sum',
  build({ n }) {
    const graph = new Graph();
    return { graph, outputs: { next: add(graph.input('sum', [n, n]), graph.input('addend', [n, n])) } };
  },
};
