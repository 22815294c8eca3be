import { float32 } from '../../../protocol/tensor.ts';
import { quantizeWithRatio, type WeightQuantizer, weightGrid } from '../../graph/fused/weight-quantize.ts';
import { Graph } from '../../graph/graph.ts';
import { mul, sub } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { Breath } from '../../runtime/breath.ts';
import { clipToMass } from './clip-to-mass.ts';
import { largestEigenvalue } from './largest-eigenvalue.ts';

/** How MagR goes on; see the options of the method. */
export interface ReducingOptions {
  /** Of what is taken off in a step, see {@link ReducedWeights}. */
  readonly magr: number;
  readonly magrSteps: number;
}

/**
 * MagR (Zhang et al. 2024): weights with nearly the same outputs and less range, by proximal gradient steps on
 *   ½ (V − W) H (V − W)ᵀ + a Σ ‖V_g‖_∞, rows or groups g:   V ← prox(V − η (V − W) H),   η = 1 / σ,
 * σ being the largest eigenvalue of H. The proximal map clips each g so that η a is taken off it in all;
 * η a = α σ / ‖H‖₁, ‖H‖₁ the largest sum of a column, does not depend on the scale of the inputs.
 */
export class ReducedWeights {
  readonly #cache: ProgramCache;
  readonly #h: Reals;
  readonly #steps: number;
  /** η, and what is taken off in a step. */
  readonly #rate: number;
  readonly #mass: number;

  /** @param h second moments [n, n], symmetric. */
  constructor(cache: ProgramCache, h: Reals, { magr, magrSteps }: ReducingOptions) {
    this.#cache = cache;
    this.#h = h;
    this.#steps = magrSteps;
    const n = h.dims[0] ?? 0;
    const largest = largestEigenvalue(h.data, n);
    this.#rate = largest > 0 ? 1 / largest : 0;
    this.#mass = largest > 0 ? (magr * largest) / largestSum(h.data, n) : 0;
  }

  /** @param w [rows, n]. @param group so many columns share a scale; 0 for whole rows. */
  async weights(w: Reals, group: number, signal?: AbortSignal): Promise<Reals> {
    const [rows, columns] = w.dims as [number, number];
    const program = await this.#cache.get(GRADIENT_STEP, { rows, columns });
    const rate = float32([1], Float32Array.of(this.#rate));
    const breath = new Breath(signal);
    let now: Reals = float32([rows, columns], w.data.slice());
    let spare: Reals = float32([rows, columns], new Float32Array(rows * columns));
    for (let step = 0; step < this.#steps; step++) {
      const { next } = await program.run({ w, now, h: this.#h, rate }, signal, { next: spare });
      await clipToMass(next.data, group || columns, this.#mass, breath);
      [now, spare] = [next, now];
    }
    return now;
  }
}

/** ‖H‖₁ = max_j Σ_i |H_ij|, of a symmetric matrix. */
function largestSum(h: Float32Array, n: number): number {
  let largest = 0;
  for (let j = 0; j < n; j++)
    largest = Math.max(
      largest,
      h.subarray(j * n, (j + 1) * n).reduce((sum, value) => sum + Math.abs(value), 0),
    );
  return largest;
}

/** V − η (V − W) H. */
const GRADIENT_STEP: ProgramKind<
  { readonly rows: number; readonly columns: number },
  { readonly next: Reals }
> = {
  name: 'magr-step',
  build({ rows, columns }) {
    const graph = new Graph();
    const [w, now] = [graph.input('w', [rows, columns]), graph.input('now', [rows, columns])];
    const slope = gemm(sub(now, w), graph.input('h', [columns, columns]));
    return { graph, outputs: { next: sub(now, mul(slope, graph.input('rate', [1]))) } };
  },
};

interface GridSpec {
  readonly rows: number;
  readonly columns: number;
  readonly quantizer: WeightQuantizer;
}

/** The grid of weights [rows, columns], as where they are mapped. */
export const WEIGHT_GRID: ProgramKind<GridSpec, Record<'scale' | 'zero', Reals>> = {
  name: 'weight-grid',
  build({ rows, columns, quantizer }) {
    const graph = new Graph();
    const w = graph.input('w', [rows, columns]);
    const [, ratio] = quantizeWithRatio(w, quantizer, null);
    return { graph, outputs: { ...weightGrid(w, ratio, quantizer) } };
  },
};
