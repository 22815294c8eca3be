/** A rotation of one site's rows: learned by the peak objective, and judged by what 4-bit rounding leaves. */
import type { CapturedRows } from '../../../src/engine/calibration/reservoir.ts';
import { fakeQuantize } from '../../../src/engine/graph/fused/fake-quantize.ts';
import { Graph } from '../../../src/engine/graph/graph.ts';
import { mul, sub } from '../../../src/engine/graph/ops/elementwise.ts';
import { matmul } from '../../../src/engine/graph/ops/matmul.ts';
import { reduceSum } from '../../../src/engine/graph/ops/reduce.ts';
import type { Reals } from '../../../src/engine/graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../../src/engine/graph/program-cache.ts';
import { polarProjection } from '../../../src/engine/rotation/orthogonal.ts';
import { learnFromActivations } from '../../../src/engine/transform/learning/distribution-learner.ts';
import { float32 } from '../../../src/protocol/tensor.ts';
import { last } from '../last.ts';

export interface Learning {
  readonly steps: number;
  readonly learningRate: number;
}

/** As the engine learns R1 from captured activations. @returns [n, n], orthogonal to float64. */
export async function learned(
  cache: ProgramCache,
  start: Float64Array,
  rows: CapturedRows,
  learning: Learning,
): Promise<Float64Array> {
  const state = await last(
    learnFromActivations(
      cache,
      { residual: [Float32Array.from(start)] },
      { residual: [rows] },
      {
        ...{ objective: 'peak', optimizer: 'lie-adam', gradientClip: null, schedule: 'cosine' },
        ...learning,
        seams: ['residual'],
      },
    ),
  );
  return polarProjection(state.residual![0]!, rows.width);
}

/** Mean squared error of Q(xR), 4 bits with a scale and a zero point for a row, of the mean square of x. */
export async function roundingError(
  cache: ProgramCache,
  { rows, count, width }: CapturedRows,
  rotation: Float64Array,
): Promise<number> {
  const program = await cache.get(ROUNDING_ERROR, { count, width });
  const { error, energy } = await program.run({
    x: float32([count, width], rows),
    r: float32([width, width], Float32Array.from(rotation)),
  });
  return error.data[0]! / energy.data[0]!;
}

const TOKEN_GRID = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true } as const;

const ROUNDING_ERROR: ProgramKind<
  { readonly count: number; readonly width: number },
  Record<'error' | 'energy', Reals>
> = {
  name: 'bench-rounding-error',
  build({ count, width }) {
    const graph = new Graph();
    const x = graph.input('x', [count, width]);
    const turned = matmul(x, graph.input('r', [width, width]));
    const off = sub(fakeQuantize(turned, TOKEN_GRID), turned);
    const [error, energy] = [off, x].map((value) => reduceSum(mul(value, value), [0, 1], false));
    return { graph, outputs: { error: error!, energy: energy! } };
  },
};
