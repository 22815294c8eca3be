import type { SeamName } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { CapturedActivations } from '../../calibration/capture.ts';
import type { CapturedRows } from '../../calibration/reservoir.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../graph/fused/fake-quantize.ts';
import { Graph } from '../../graph/graph.ts';
import { mul, sub } from '../../graph/ops/elementwise.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { reduceMean } from '../../graph/ops/reduce.ts';
import { transposeLast } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { type SeamState, seamsIn } from '../../network/seams.ts';
import { orthogonalityError } from '../../rotation/orthogonal.ts';
import { scalarOf } from './cayley-sgd.ts';
import { type LearnStep, NO_MEMORY } from './learner.ts';
import { polarFactor } from './polar-factor.ts';

export interface ProcrustesOptions {
  readonly steps: number;
  /** Seams whose maps are learned. */
  readonly seams: readonly SeamName[];
  /** What rounds the rows of a seam. */
  readonly quantizers: Readonly<Partial<Record<SeamName, ActivationQuantizer>>>;
}

/**
 * Channels that no row has leave the nearest rotation open: this share of the matrix's mean size keeps them where they
 * are. It is a step of the proximal form, min ‖XR − Q‖² + ε‖R − R₀‖², which never raises the error either.
 */
const KEPT = 1e-6;

/**
 * DFRot's alternation (Xiang and Zhang 2024) on captured rows X: they are turned and rounded, Q = Q(XR), then
 * R = argmin ‖XR − Q‖_F over rotations, the polar factor of XᵀQ (Procrustes). No derivative, no rate; every step sees all
 * rows. Rows that stand several times count so often.
 */
export async function* learnByProcrustes(
  cache: ProgramCache,
  start: SeamState,
  captured: CapturedActivations,
  { steps, seams, quantizers }: ProcrustesOptions,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, SeamState> {
  let state = start;
  const moving = seamsIn(start).filter((seam) => seams.includes(seam) && captured[seam] && quantizers[seam]);
  for (let step = 0; step < steps; step++) {
    const began = performance.now();
    const losses: number[] = [];
    for (const seam of moving) {
      const turned = [];
      for (const [index, rotation] of (state[seam] ?? []).entries()) {
        throwIfCancelled(signal);
        turned.push(await oneTurn(cache, rotation, captured[seam]![index]!, quantizers[seam]!, signal));
      }
      losses.push(turned.reduce((sum, { loss }) => sum + loss, 0) / turned.length);
      state = { ...state, [seam]: turned.map(({ next }) => next) };
    }
    yield {
      step: step + 1,
      loss: losses[0] ?? Number.NaN,
      tokens: captured[moving[0] ?? 'residual']?.[0]?.count ?? 0,
      // There is no gradient, and a step goes all the way.
      gradientNorm: 0,
      learningRate: 1,
      stepCaps: {},
      orthogonalityError: driftOf(state, moving),
      seconds: (performance.now() - began) / 1000,
      state,
      memory: NO_MEMORY,
    };
  }
  return state;
}

/** One alternation. @returns the error before it, a mean over elements, and the rotation behind it. */
async function oneTurn(
  cache: ProgramCache,
  rotation: Float32Array,
  { width: n, count, rows }: CapturedRows,
  quantizer: ActivationQuantizer,
  signal?: AbortSignal,
): Promise<{ loss: number; next: Float32Array }> {
  const program = await cache.get(ROUNDED_ROWS, { rows: count, n, quantizer });
  const inputs = { x: float32([count, n], rows), r: float32([n, n], rotation) };
  const { loss, product } = await program.run(inputs, signal);
  const matrix = Float64Array.from(product.data);
  const kept = KEPT * Math.sqrt(matrix.reduce((sum, value) => sum + value * value, 0) / n);
  for (let i = 0; i < n * n; i++) matrix[i] = matrix[i]! + kept * rotation[i]!;
  return { loss: scalarOf(loss), next: Float32Array.from(await polarFactor(cache, matrix, n, signal)) };
}

function driftOf(state: SeamState, seams: readonly SeamName[]): number {
  const maps = seams.flatMap((seam) => state[seam] ?? []);
  return Math.max(0, ...maps.map((map) => orthogonalityError(map, Math.sqrt(map.length))));
}

interface RowsSpec {
  readonly rows: number;
  readonly n: number;
  readonly quantizer: ActivationQuantizer;
}

/** x [rows, n], r [n, n] → loss, the mean of (xr − Q(xr))², and product = xᵀQ(xr) [n, n]. */
const ROUNDED_ROWS: ProgramKind<RowsSpec, Record<'loss' | 'product', Reals>> = {
  name: 'rounded-rows',
  build({ rows, n, quantizer }) {
    const graph = new Graph();
    const x = graph.input('x', [rows, n]);
    const turned = matmul(x, graph.input('r', [n, n]));
    const rounded = fakeQuantize(turned, quantizer);
    const off = sub(turned, rounded);
    const loss = reduceMean(mul(off, off), [0, 1], false);
    return { graph, outputs: { loss, product: matmul(transposeLast(x), rounded) } };
  },
};
