import { float32 } from '../../../protocol/tensor.ts';
import { gradients } from '../../autodiff/gradients.ts';
import { quantizeWithRatio, type WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import { Graph, type Real } from '../../graph/graph.ts';
import { add, mul, scale, sub } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { clippedCodes, clippedWeight, gridsPerRow } from '../../network/clipped-weight.ts';
import { type ClipSlopes, descend } from './descend.ts';

/** How clip ratios are learned; see the options of the method. */
export interface ClippingOptions {
  readonly learnedClip: boolean;
  readonly learnedClipSteps: number;
}

/** The loss (V − W)(H + λI)(V − W)ᵀ of rows. */
export interface RowLoss {
  /** Second moments [n, n], symmetric. */
  readonly h: Reals;
  readonly lambda: number;
}

/**
 * Grids whose ends are shortened by ratios that are learned before GPTQ rounds on them: learnable weight clipping
 * (OmniQuant, Shao et al. 2024, eq. 2) on GPTQ's own loss of the weights to nearest on these grids. A ratio is σ of a
 * logit, one for each row or group, with zero points one for each end. They begin at those of {@link quantizeWithRatio},
 * and each row keeps those of its least loss. See {@link descend}.
 */
export class LearnedClips {
  readonly #cache: ProgramCache;
  readonly #loss: RowLoss;
  readonly #steps: number;

  constructor(cache: ProgramCache, loss: RowLoss, steps: number) {
    this.#cache = cache;
    this.#loss = loss;
    this.#steps = steps;
  }

  /** Returns scale and zero [rows, groups] of codes of a byte. @param w [rows, n]. */
  async grid(
    w: Reals,
    quantizer: WeightQuantizer,
    signal?: AbortSignal,
  ): Promise<Record<'scale' | 'zero', Reals>> {
    const [rows, columns] = w.dims as [number, number];
    const groups = gridsPerRow(columns, quantizer);
    const spec = { rows, columns, quantizer };
    const tensor = (part: Float64Array): Reals => float32([rows, groups], Float32Array.from(part));
    const ends = (ratios: Float64Array) => endsOf(ratios, rows * groups, tensor);
    const slopes = await this.#cache.get(CLIP_SLOPES, spec);
    const lambda = float32([1], Float32Array.of(this.#loss.lambda));
    const slopesAt = async (ratios: Float64Array): Promise<ClipSlopes> => {
      const found = await slopes.run({ w, h: this.#loss.h, lambda, ...ends(ratios) }, signal);
      return slopesOf(found, quantizer);
    };
    const { ratio } = await (await this.#cache.get(SEARCHED_RATIO, spec)).run({ w }, signal);
    const first = Float64Array.from(quantizer.symmetric ? ratio.data : [...ratio.data, ...ratio.data]);
    const best = await descend({ first, rows, groups, steps: this.#steps }, slopesAt);
    return (await this.#cache.get(CLIPPED_GRID, spec)).run({ w, ...ends(best) }, signal);
  }
}

/**
 * @param ratios of the upper ends, then of the lower ones where these are others: symmetric grids have one for both.
 * @param size of the ratios of one end. @param tensor makes one of them.
 */
export function endsOf<T>(
  ratios: Float64Array,
  size: number,
  tensor: (part: Float64Array) => T,
): Readonly<Record<'upper' | 'lower', T>> {
  return { upper: tensor(ratios.slice(0, size)), lower: tensor(ratios.slice(ratios.length - size)) };
}

/** Slopes by the ratios, which symmetric grids have one of for both ends. */
export function slopesOf(
  found: Readonly<Record<'loss' | 'byUpper' | 'byLower', { readonly data: ArrayLike<number> }>>,
  { symmetric }: Pick<WeightQuantizer, 'symmetric'>,
): ClipSlopes {
  const [upper, lower] = [Array.from(found.byUpper.data), Array.from(found.byLower.data)];
  const slope = symmetric ? upper.map((value, i) => value + lower[i]!) : [...upper, ...lower];
  return { loss: found.loss.data, slope };
}

interface ClipSpec {
  readonly rows: number;
  readonly columns: number;
  readonly quantizer: WeightQuantizer;
}

/** w [rows, n] → the ratios [rows, groups] of rounding to nearest. */
const SEARCHED_RATIO: ProgramKind<ClipSpec, { readonly ratio: Reals }> = {
  name: 'searched-clip-ratio',
  build({ rows, columns, quantizer }) {
    const graph = new Graph();
    const [, ratio] = quantizeWithRatio(graph.input('w', [rows, columns]), quantizer, null);
    return { graph, outputs: { ratio } };
  },
};

/**
 * w [rows, n], h [n, n], λ and ratios [rows, groups] → losses [rows] of Q(w) = w + e, e (H + λI) eᵀ, and the derivatives
 * of their sum by the ratios, with both roundings straight through.
 */
export function clipSlopes({ rows, columns, quantizer }: ClipSpec, real: Real = 'float32') {
  const graph = new Graph(real);
  const [w, h] = [graph.input('w', [rows, columns]), graph.input('h', [columns, columns])];
  const dims = [rows, gridsPerRow(columns, quantizer)];
  const [upper, lower] = [graph.input('upper', dims), graph.input('lower', dims)];
  const error = sub(clippedWeight(w, upper, lower, quantizer), w);
  const weighed = add(gemm(error, h), mul(error, graph.input('lambda', [1])));
  const loss = reduceSum(mul(weighed, error), [1], false);
  // H is symmetric: the derivative by Q(w) is twice what the loss is made of, and needs no second product.
  const [byUpper, byLower] = gradients([[error, scale(weighed, 2)]], [upper, lower]);
  return { graph, outputs: { loss, byUpper: byUpper!, byLower: byLower! } };
}

const CLIP_SLOPES: ProgramKind<ClipSpec, Record<'loss' | 'byUpper' | 'byLower', Reals>> = {
  name: 'clip-slopes',
  build: (spec) => clipSlopes(spec),
};

/** w [rows, n] and ratios [rows, groups] → the grid. */
const CLIPPED_GRID: ProgramKind<ClipSpec, Record<'scale' | 'zero', Reals>> = {
  name: 'clipped-grid',
  build({ rows, columns, quantizer }) {
    const graph = new Graph();
    const dims = [rows, gridsPerRow(columns, quantizer)];
    const [upper, lower] = [graph.input('upper', dims), graph.input('lower', dims)];
    const { scale: step, zero } = clippedCodes(graph.input('w', [rows, columns]), upper, lower, quantizer);
    return { graph, outputs: { scale: step, zero } };
  },
};
