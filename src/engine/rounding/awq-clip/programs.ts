/** Programs of AWQ's clip search: the sampled rows that a layer's weights read, bounds of weights, and their codes. */
import type { Linear, Site } from '../../../protocol/block.ts';
import { quantizeWithRatio, type WeightQuantizer, weightGrid } from '../../graph/fused/weight-quantize.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import {
  abs,
  add,
  div,
  less,
  maximum,
  minimum,
  mul,
  neg,
  round,
  scale,
  sub,
  where,
} from '../../graph/ops/elementwise.ts';
import { gemm, matmul } from '../../graph/ops/matmul.ts';
import { reduceMax, reduceSum } from '../../graph/ops/reduce.ts';
import { expand, gatherRows, reshape, transpose } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import type { LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import { seenByReaders } from '../../network/linear-sites.ts';

/** Where the weights of a layer read. */
export const READ_SITES = {
  attention: 'attention-input',
  output: 'o-input',
  mlp: 'mlp-input',
  down: 'down-input',
} as const satisfies Record<string, Site>;
export type Reading = keyof typeof READ_SITES;
export const READINGS = Object.keys(READ_SITES) as Reading[];

/** The rows that each linear layer reads. */
export const READ_BY: Readonly<Record<Linear, Reading>> = {
  q: 'attention',
  k: 'attention',
  v: 'attention',
  o: 'output',
  gate: 'mlp',
  up: 'mlp',
  down: 'down',
};

export interface SampleSpec {
  /** Without quantizers. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  /** Rows to be picked; 0 where the part has none. */
  readonly count: number;
}

/** x → y of a merged layer, and the rows [count, n] of the tokens `picked` [count] that its weights read. */
export const SAMPLE: ProgramKind<SampleSpec, { y: Reals } & { [Name in Reading]?: Reals }> = {
  name: 'awq-clip-sample',
  build({ shape, types, count }) {
    const seen = new Map<Site, Value>();
    const { graph, y, inputs } = layerExpression(shape, types, 'merged', false, 'float32', (site, value) =>
      seen.set(site, value),
    );
    const picked = count > 0 ? graph.input('picked', [count], 'int64') : null;
    const rowsAt = (site: Site): Value | null => {
      const rows = seen.get(site);
      return picked && rows ? seenByReaders(inputs, site, gatherRows(rows, picked)) : null;
    };
    const outputs = Object.fromEntries(READINGS.map((name) => [name, rowsAt(READ_SITES[name])]));
    return {
      graph,
      outputs: { y, ...(outputs as Record<Reading, Value | null>) },
      precision: shape.precision,
    };
  },
};

/** Bounds are tried at p = 1 − i/20 of the largest magnitude, i = 0 … 9. */
export const TRIALS = 10;
const GRID = 20;

export interface BoundSpec {
  readonly rows: number;
  readonly columns: number;
  readonly tokens: number;
  readonly quantizer: WeightQuantizer;
}

/**
 * The bound p · max|W| [rows, groups] of each row and group of W [rows, columns] that leaves the least
 *   Σ_t (Σ_j x_tj (Q(clip(W))_j − W_j))²,   j over the group, t over the tokens of x [tokens, columns].
 * This is the squared error of the group's share of the output. The first one counts among equals.
 */
export const BOUNDS: ProgramKind<BoundSpec, { bound: Reals }> = {
  name: 'awq-clip-bounds',
  build({ rows, columns, tokens, quantizer }) {
    const graph = new Graph();
    const w = graph.input('w', [rows, columns]);
    const width = quantizer.group || columns;
    const groups = columns / width;
    const x = transpose(reshape(graph.input('x', [tokens, columns]), [tokens, groups, width]), [1, 2, 0]);
    const largest = reshape(reduceMax(abs(reshape(w, [rows * groups, width])), [1]), [rows, groups]);
    const errorAt = (bound: Value): Value => {
      const error = sub(roundedAt(w, bound, quantizer).rounded, w);
      const shares = matmul(transpose(reshape(error, [rows, groups, width]), [1, 0, 2]), x);
      return transpose(reshape(reduceSum(mul(shares, shares), [2]), [groups, rows]), [1, 0]);
    };
    let best = largest;
    let least = errorAt(largest);
    for (let trial = 1; trial < TRIALS; trial++) {
      const bound = scale(largest, 1 - trial / GRID);
      const error = errorAt(bound);
      const better = less(error, least);
      best = where(better, bound, best);
      least = where(better, error, least);
    }
    return { graph, outputs: { bound: best } };
  },
};

/** W [rows, columns] clipped at `bound` [rows, groups] and rounded, with its grid and codes. */
export const CLIPPED: ProgramKind<
  Omit<BoundSpec, 'tokens'>,
  Record<'rounded' | 'scale' | 'zero' | 'codes', Reals>
> = {
  name: 'awq-clipped',
  build({ rows, columns, quantizer }) {
    const graph = new Graph();
    const bound = graph.input('bound', [rows, columns / (quantizer.group || columns)]);
    const { clipped, rounded, ratio } = roundedAt(graph.input('w', [rows, columns]), bound, quantizer);
    const grid = weightGrid(clipped, ratio, quantizer);
    return { graph, outputs: { rounded, ...grid, codes: codesOf(rounded, grid) } };
  },
};

export interface CodesSpec {
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
}

/** Codes of weights that lie on their grid: Q(W) = s (c − z). */
export const CODES: ProgramKind<CodesSpec, { codes: Reals }> = {
  name: 'awq-clip-codes',
  build({ rows, columns, groups }) {
    const graph = new Graph();
    const rounded = graph.input('nearest', [rows, columns]);
    const grid = { scale: graph.input('scale', [rows, groups]), zero: graph.input('zero', [rows, groups]) };
    return { graph, outputs: { codes: codesOf(rounded, grid) } };
  },
};

/** Energies of outputs [rows] on x [tokens, columns]: of W, of W − nearest and of W − rounded. */
export const OUTPUT_ERRORS: ProgramKind<
  Omit<BoundSpec, 'quantizer'>,
  Record<'all' | 'byNearest' | 'byMethod', Reals>
> = {
  name: 'awq-clip-errors',
  build({ rows, columns, tokens }) {
    const graph = new Graph();
    const weight = (name: string): Value => graph.input(name, [rows, columns]);
    const [w, nearest, rounded] = [weight('w'), weight('nearest'), weight('rounded')];
    const x = graph.input('x', [tokens, columns]);
    const energy = (e: Value): Value => {
      const outputs = gemm(x, e, { transB: true });
      return reduceSum(mul(outputs, outputs), [0], false);
    };
    return {
      graph,
      outputs: { all: energy(w), byNearest: energy(sub(w, nearest)), byMethod: energy(sub(w, rounded)) },
    };
  },
};

function roundedAt(w: Value, bound: Value, quantizer: WeightQuantizer) {
  const [rows, columns] = [w.dim(0), w.dim(1)];
  const limit = perColumn(bound, columns);
  const clipped = minimum(maximum(w, neg(limit)), limit);
  const [rounded, ratio] = quantizeWithRatio(clipped, { ...quantizer, clipSearch: false }, null);
  return { clipped: reshape(clipped, [rows, columns]), rounded, ratio };
}

function codesOf(rounded: Value, { scale: s, zero }: { readonly scale: Value; readonly zero: Value }): Value {
  const columns = rounded.dim(1);
  return add(round(div(rounded, perColumn(s, columns))), perColumn(zero, columns));
}

/** A number of each group [rows, groups], for every column of it [rows, columns]. */
function perColumn(numbers: Value, columns: number): Value {
  const [rows, groups] = [numbers.dim(0), numbers.dim(1)];
  const repeated = expand(reshape(numbers, [rows, groups, 1]), [rows, groups, columns / groups]);
  return reshape(repeated, [rows, columns]);
}
